"""Real rank processes: they render, and they live and die together."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_runtime.engine import LocalInputs
from model_runtime.gang import GangLost, GangPlan, RunningGang
from model_runtime.messages import Ended
from model_runtime.waker import Waker
from schemas.errors import Permanent
from schemas.job import RenderRequest
from schemas.states import Blame, Ending
from tests.support.requests import make_request

PLAN = GangPlan(engine="pattern", model="humo-1.7B", open_timeout_s=60, stop_timeout_s=3)

Start = Callable[..., RunningGang]


@pytest.fixture
def start() -> Iterator[Start]:
    waker, gangs = Waker(), []

    def begin(**changes: Any) -> RunningGang:
        gangs.append(RunningGang(replace(PLAN, **changes), waker))
        return gangs[-1]

    yield begin
    for gang in gangs:
        gang.kill()
    waker.close()


@pytest.fixture(scope="module")
def warm() -> Iterator[RunningGang]:
    """One gang of one rank for all tests that leave it as it was."""
    waker = Waker()
    gang = RunningGang(PLAN, waker)
    yield opened(gang)
    gang.kill()
    waker.close()


def opened(gang: RunningGang) -> RunningGang:
    gang.open(lambda: None)
    return gang


def render(gang: RunningGang, request: RenderRequest, *, stop_at: int | None = None) -> tuple[list[bytes], Ended]:
    frames: list[bytes] = []

    def sink(frame: memoryview) -> None:
        frames.append(bytes(frame))
        if len(frames) == stop_at:
            gang.stop()

    gang.begin(request, LocalInputs(), sink)
    deadline = time.monotonic() + 20
    while not gang.is_over:
        gang.turn(0.2)
        assert time.monotonic() < deadline
    return frames, gang.outcome()


def test_frames_arrive_whole_and_in_order(warm: RunningGang) -> None:
    """Every frame of a clip comes through the pipe, in order, as the engine made it."""
    frames, ended = render(warm, make_request())
    pictures = np.stack([np.frombuffer(frame, dtype=np.uint8).reshape(64, 64, 3) for frame in frames])
    assert ended.failure is None
    assert len(pictures) == 9
    assert all((pictures[i][:, 1:] == pictures[i + 1][:, :-1]).all() for i in range(8))


def test_a_gang_serves_clips_of_different_sizes(warm: RunningGang) -> None:
    """One warm gang renders one clip after the other, whatever their sizes."""
    sizes = [(64, 64), (1280, 720), (32, 48)]
    for width, height in sizes:
        frames, ended = render(warm, make_request(width=width, height=height))
        assert [len(frame) for frame in frames] == [width * height * 3] * 9
        assert ended.reusable


def test_two_ranks_render_together(start: Start) -> None:
    """A clip of a gang is over when every rank has ended it; the frames are rank 0's."""
    frames, ended = render(opened(start(ranks=2)), make_request())
    assert len(frames) == 9
    assert ended.failure is None


def test_an_engine_prints_without_harm(warm: RunningGang) -> None:
    """What an engine or a library prints is never taken for a message."""
    frames, ended = render(warm, make_request("[print]"))
    assert (len(frames), ended.failure) == (9, None)


@pytest.mark.parametrize(
    ("prompt", "ending", "blame", "reusable"),
    [
        ("[fail=bad_input]", Ending.BAD_INPUT, Blame.ROW, True),
        ("[nan]", Ending.BAD_OUTPUT, Blame.ROW, True),
        ("[oom]", Ending.OUT_OF_MEMORY, Blame.ROW, False),
        ("[fail=worker_fault]", Ending.WORKER_FAULT, Blame.WORKER, False),
        ("[long]", Ending.WORKER_FAULT, Blame.WORKER, False),
    ],
)
def test_an_exception_becomes_an_ending(
    warm: RunningGang, prompt: str, ending: Ending, blame: Blame, reusable: bool
) -> None:
    """What an engine raises crosses the border as ending and blame, with the engine's name and words."""
    _, ended = render(warm, make_request(prompt))
    assert ended.failure is not None
    assert (ended.failure.ending, ended.failure.blame, ended.reusable) == (ending, blame, reusable)
    assert ended.failure.message.startswith("pattern: ")


def test_a_stopped_gang_can_render_again(start: Start) -> None:
    """After a stop the next clip's frames are its own."""
    gang = opened(start(ranks=2))
    _, ended = render(gang, make_request("[slow=0.05]", num_frames=201, seed=1), stop_at=2)
    assert ended.stopped
    assert ended.frames < 20
    frames, after = render(gang, make_request(seed=9))
    assert after.failure is None
    assert len(frames) == 9
    assert frames == render(gang, make_request(seed=9))[0]


def test_a_killed_rank_takes_the_gang_down(start: Start) -> None:
    """The death of any rank is noticed at once and says which one and how."""
    gang = opened(start(ranks=2))
    os.kill(gang.pids[1], signal.SIGKILL)
    with pytest.raises(GangLost, match="rank 1 was killed by SIGKILL"):
        render(gang, make_request("[slow=0.2]"))


def test_a_stopped_rank_is_found_by_its_silence(start: Start) -> None:
    """A rank that gives no sign of life for the tick timeout counts as hung."""
    gang = opened(start(ranks=2, tick_timeout_s=3.0))
    os.kill(gang.pids[1], signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(GangLost, match="rank 1 gave no sign of life") as lost:
        render(gang, make_request("[slow=0.3]", num_frames=201))
    assert lost.value.ending is Ending.HUNG
    assert time.monotonic() - began < 12


def test_a_slow_rank_that_ticks_is_left_alone(start: Start) -> None:
    """Signs of life come from the process, not from the engine's progress."""
    frames, _ = render(opened(start(tick_timeout_s=0.6)), make_request("[slow=1.0]", num_frames=1, keep_frames=1))
    assert len(frames) == 1


def test_a_rank_that_hangs_alone_cannot_hold_the_gang(start: Start) -> None:
    """After a stop every rank must end within the stop timeout."""
    gang = opened(start(ranks=2, stop_timeout_s=0.5))
    with pytest.raises(GangLost, match="rank 1 did not end within"):
        render(gang, make_request("[hang=1] [slow=0.01]", num_frames=101), stop_at=70)


def test_ranks_die_with_their_supervisor(start: Start) -> None:
    """Closing the gang leaves no process behind, even one that hangs."""
    gang = opened(start(ranks=2))
    gang.begin(make_request("[hang]"), LocalInputs(), lambda _: None)
    for _ in range(5):
        gang.turn(0.1)
    gang.close(timeout_s=0.5)
    for pid in gang.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_unknown_engine_is_permanent(start: Start) -> None:
    """A name that is not known is a matter of configuration, and the known names are said."""
    with pytest.raises(Permanent, match="unknown engine 'nobody'; known: animatic"):
        start(engine="nobody").open(lambda: None)


def test_secrets_stay_with_the_supervisor(start: Start) -> None:
    """A rank's environment is what the plan says, not the supervisor's."""
    gang = start(environment={"PATH": os.environ["PATH"], "MARK": "plan"})
    opened(gang)
    environment = Path(f"/proc/{gang.pids[0]}/environ").read_bytes().split(b"\0")
    assert b"MARK=plan" in environment
    assert not any(line.startswith(b"PYTEST") for line in environment)
