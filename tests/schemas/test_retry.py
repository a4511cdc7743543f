"""Whether failed work is tried again is a pure question of its attempts."""

from __future__ import annotations

import pytest

from schemas.attempt import Attempt
from schemas.retry import RetryPolicy, Verdict, backoff, decide
from schemas.states import Blame, Ending

POLICY = RetryPolicy()


def attempts(*endings: tuple[Ending, str], blame: Blame = Blame.WORKER) -> list[Attempt]:
    return [
        Attempt(
            attempt_id=f"a{n}",
            subject="j",
            worker=worker,
            epoch=n,
            started_at=n,
            ended_at=n + 1,
            ending=end,
            blame=blame,
        )
        for n, (end, worker) in enumerate(endings)
    ]


def test_interruptions_never_use_up_an_attempt() -> None:
    """A hundred preemptions and one more are tried again at once."""
    decision = decide(attempts(*[(Ending.PREEMPTED, f"w{n}") for n in range(100)]), POLICY)
    assert (decision.verdict, decision.wait_s) == (Verdict.RETRY, 0.0)


def test_bad_input_fails_at_once() -> None:
    """No worker can mend a row."""
    assert decide(attempts((Ending.BAD_INPUT, "w"), blame=Blame.ROW), POLICY).verdict is Verdict.FAIL


def test_bad_input_that_blames_the_platform_is_tried_again() -> None:
    """An input that only this machine could not read is no fault of the row."""
    assert decide(attempts((Ending.BAD_INPUT, "w"), blame=Blame.PLATFORM), POLICY).verdict is Verdict.RETRY


@pytest.mark.parametrize("ending", [Ending.LOST, Ending.WORKER_FAULT, Ending.OUT_OF_MEMORY, Ending.HUNG])
def test_three_different_workers_quarantine(ending: Ending) -> None:
    """The same ending on three workers sets the job aside; on two it does not."""
    assert decide(attempts((ending, "a"), (ending, "b")), POLICY).verdict is Verdict.RETRY
    assert decide(attempts((ending, "a"), (ending, "b"), (ending, "c")), POLICY).verdict is Verdict.QUARANTINE


def test_one_worker_alone_ends_too() -> None:
    """Where only one worker exists the policy's number of attempts is the end."""
    assert decide(attempts(*[(Ending.LOST, "w")] * 4), POLICY).verdict is Verdict.RETRY
    assert decide(attempts(*[(Ending.LOST, "w")] * 5), POLICY).verdict is Verdict.QUARANTINE


def test_interruptions_between_failures_do_not_count() -> None:
    """Only failures are counted, whatever stands between them."""
    mixed = attempts((Ending.LOST, "a"), (Ending.PREEMPTED, "b"), (Ending.CANCELLED, "c"), (Ending.LOST, "a"))
    assert decide(mixed, POLICY).verdict is Verdict.RETRY


def test_backoff_grows_jittered_bounded_and_replayable() -> None:
    """Waits lie below the exponential ceiling, differ by attempt, and are the same when asked again."""
    waits = [backoff(3, f"a{n}", POLICY) for n in range(200)]
    assert all(0 <= wait <= 8 for wait in waits)
    assert max(waits) > 6
    assert min(waits) < 2
    assert waits == [backoff(3, f"a{n}", POLICY) for n in range(200)]
    assert all(backoff(50, f"a{n}", POLICY) <= POLICY.backoff_max_s for n in range(200))
