"""What the worker decides without I/O: deadlines, endings, health, grace, backoff, messages, log lines."""

from __future__ import annotations

import errno
import logging
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.full_disk import is_out_of_disk
from model_runtime import log
from model_runtime.endings import describe, failure_of
from model_runtime.health import LOSSES, OPENS, Health
from model_runtime.messages import (
    Ended,
    Opened,
    OpenFailed,
    Progressed,
    Render,
    Stop,
    Tick,
    encode,
    from_rank,
    to_rank,
)
from model_runtime.patience import backoff, patiently
from model_runtime.phases import FLOORS, Patience, Step, deadline, stall
from model_runtime.stopping import TAIL_S, remaining
from schemas.attempt import Failure
from schemas.errors import Corrupted, InvalidMedia, NotFound, Permanent, Retryable
from schemas.problem import Code
from schemas.states import Blame, Ending
from tests.support.requests import make_request

# -- deadlines -----------------------------------------------------------------------------------------------------


def test_the_steps_are_in_order() -> None:
    """A lease goes through these steps, in this order; each has a floor."""
    assert list(Step) == ["lease", "fetch", "render", "encode", "check", "upload", "commit"]
    assert set(FLOORS) == set(Step)


@given(st.sampled_from(Step), st.floats(0, 1e6))
def test_a_step_may_take_five_times_what_is_expected(step: Step, expected: float) -> None:
    """Five times the expectation, never less than the floor."""
    assert deadline(step, expected) == max(FLOORS[step], 5 * expected)


def test_a_stalled_render_is_found_before_its_deadline() -> None:
    """A 17B clip of 50 steps that takes 25 minutes must move on within minutes, not within two hours."""
    assert stall(1500, 50, floor_s=60) == 150
    assert Patience().stall(1500, 50) == 600
    assert Patience(render_s=10).stall(0.1, 9) == 10
    assert Patience(render_s=10).deadline(Step.UPLOAD, 0) == FLOORS[Step.UPLOAD]


# -- endings -------------------------------------------------------------------------------------------------------


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    ("error", "ending", "blame"),
    [
        (InvalidMedia(Code.IMAGE_CORRUPT, "x"), Ending.BAD_INPUT, Blame.ROW),
        (FloatingPointError("nan"), Ending.BAD_OUTPUT, Blame.ROW),
        (MemoryError(), Ending.OUT_OF_MEMORY, Blame.ROW),
        (OutOfMemoryError("CUDA out of memory"), Ending.OUT_OF_MEMORY, Blame.ROW),
        (NotFound("inputs/aa is gone"), Ending.INTERNAL, Blame.PLATFORM),
        (Corrupted("differs"), Ending.INTERNAL, Blame.PLATFORM),
        (Permanent("other weights"), Ending.INTERNAL, Blame.PLATFORM),
        (TimeoutError("too long"), Ending.TIMEOUT, Blame.WORKER),
        (RuntimeError("CUDA error"), Ending.WORKER_FAULT, Blame.WORKER),
        (Retryable("ffmpeg was killed by signal 9"), Ending.WORKER_FAULT, Blame.WORKER),
    ],
)
def test_every_exception_has_an_ending_and_blames_the_right_one(error: Exception, ending: Ending, blame: Blame) -> None:
    """The row is blamed for its input, the platform for what is stored, the worker for the rest."""
    failure = failure_of(error, "render")
    assert (failure.ending, failure.blame, failure.phase) == (ending, blame, "render")


def test_a_full_disk_is_recognised_through_its_causes() -> None:
    """ENOSPC counts wherever it stands in the chain, also when a child process only said it."""
    wrapped = RuntimeError("encoder")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_out_of_disk(wrapped)
    assert is_out_of_disk(Retryable("ffmpeg ended with 1: clip.mp4: No space left on device"))
    assert not is_out_of_disk(OSError(errno.EIO, "Input/output error"))


def test_an_error_without_words_is_named() -> None:
    """A message is never empty."""
    assert describe(MemoryError()) == "MemoryError"
    assert describe(ValueError("bad size")) == "ValueError: bad size"


# -- health --------------------------------------------------------------------------------------------------------


def test_a_gang_that_never_opens_makes_the_node_sick() -> None:
    """Three failed opens in a row; one good one starts the count anew."""
    health = Health()
    for _ in range(OPENS - 1):
        health.open_failed()
    health.opened()
    assert not health.is_sick
    for _ in range(OPENS):
        health.open_failed()
    assert health.is_sick


def test_one_poisonous_job_does_not_make_a_node_sick() -> None:
    """Gangs lost over different jobs count, the same job counts once, a finished clip clears them."""
    health = Health()
    for _ in range(20):
        health.gang_lost("poison")
    assert not health.is_sick
    for number in range(LOSSES):
        health.gang_lost(f"job-{number}")
    assert health.is_sick
    health.finished()
    assert not health.is_sick


# -- grace and patience --------------------------------------------------------------------------------------------


def test_what_remains_is_read_off_the_clips_own_pace() -> None:
    """A third done in ten seconds leaves twenty; before any progress the plan's estimate holds."""
    assert remaining(estimated_s=500, elapsed_s=10, done=3, total=9) == 20 + TAIL_S
    assert remaining(estimated_s=500, elapsed_s=10) == 490 + TAIL_S
    assert remaining(estimated_s=5, elapsed_s=10) == TAIL_S


@given(st.integers(1, 100))
def test_backoff_is_bounded(failures: int) -> None:
    """Exponential with full jitter, thirty seconds at most."""
    assert 0 <= backoff(failures) <= min(30.0, 0.5 * 2.0 ** min(failures - 1, 30))


def test_patience_ends() -> None:
    """A service that stays away is given up at the deadline; its last error is what is raised."""
    waits: list[float] = []

    def away() -> None:
        raise Retryable("the store is away")

    with pytest.raises(Retryable, match="the store is away"):
        patiently(away, until=time.monotonic() + 0.4, wait=time.sleep, say=lambda _, pause: waits.append(pause))
    assert sum(waits) <= 0.4


def test_damaged_bytes_are_not_waited_for() -> None:
    """What was read several times and differs still is raised at once."""
    tries: list[int] = []

    def damaged() -> None:
        tries.append(1)
        raise Corrupted("differs")

    with pytest.raises(Corrupted):
        patiently(damaged, until=time.monotonic() + 60, wait=time.sleep, say=lambda *_: None)
    assert tries == [1]


# -- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        Tick(),
        Opened(model_digest="d", engine_version="1"),
        OpenFailed(configuration=True, message="no\nweights", fix="fetch"),
        Progressed(number=3, phase="denoise", done=1, total=50),
        Ended(number=3, frames=9, failure=Failure.of(Ending.OUT_OF_MEMORY, "x", phase="render"), reusable=False),
    ],
)
def test_what_a_rank_says_is_one_line_and_survives(
    message: Tick | Opened | OpenFailed | Progressed | Ended,
) -> None:
    """Encoding and decoding give the same value; no value can break the line."""
    line = encode(message)
    assert line.count(b"\n") == 1
    assert from_rank(line) == message


@pytest.mark.parametrize(
    "message",
    [Render(number=1, request=make_request("a\nb"), images=(Path("a"),), speech=Path("b")), Stop(number=1)],
)
def test_what_a_rank_hears_is_one_line_and_survives(message: Render | Stop) -> None:
    """Encoding and decoding give the same value; no prompt can break the line."""
    line = encode(message)
    assert line.count(b"\n") == 1
    assert to_rank(line) == message


def test_nonsense_is_no_message() -> None:
    """Anything else is refused, never guessed at."""
    with pytest.raises(ValueError, match="kind"):
        from_rank(b'{"kind": "surprise"}')


# -- log lines -----------------------------------------------------------------------------------------------------


def test_a_log_line_is_one_line_whatever_its_values(caplog: pytest.LogCaptureFixture) -> None:
    """Line breaks, quotes and control characters of a value are escaped; fields are kept for machines, too."""
    with caplog.at_level(logging.INFO, logger="callsheet.worker"):
        log.gang_lost('died\nINFO worker_ended "fine"\x1b[2J')
    [record] = caplog.records
    assert record.getMessage() == r'gang_lost reason="died\nINFO worker_ended \"fine\"\u001b[2J"'
    assert vars(record)["event"] == "gang_lost"
