"""Whether a failed piece of work is tried again: a pure question with a value as its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from schemas.attempt import Attempt
from schemas.digest import digest
from schemas.states import INTERRUPTIONS, Blame, Ending


class Verdict(StrEnum):
    RETRY = "retry"
    FAIL = "fail"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """`workers` different workers failing quarantine a job, as do `attempts` failures in all."""

    workers: int = 3
    attempts: int = 5
    backoff_s: float = 2.0
    backoff_max_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Decision:
    verdict: Verdict
    wait_s: float = 0.0
    reason: str = ""


def decide(attempts: Sequence[Attempt], policy: RetryPolicy) -> Decision:
    """What becomes of work whose attempts of the current round, the last one just ended, are these.

    An interruption (preemption, drain, SIGTERM, cancel) never uses up an attempt. Bad input fails at once: no
    worker can mend it. Anything else is tried again on another worker, until three different ones failed, or
    until the policy's number of tries is used up where fewer workers exist.
    """
    last = attempts[-1]
    if last.ending in INTERRUPTIONS:
        return Decision(verdict=Verdict.RETRY, reason="interrupted; no attempt used up")
    if last.ending is Ending.BAD_INPUT and last.blame is Blame.ROW:
        return Decision(verdict=Verdict.FAIL, reason="the row's input cannot be used")
    failed = [a for a in attempts if a.ending not in INTERRUPTIONS and a.ending is not Ending.OK]
    workers = {a.worker for a in failed}
    if len(workers) >= policy.workers:
        return Decision(verdict=Verdict.QUARANTINE, reason=f"failed on {len(workers)} different workers")
    if len(failed) >= policy.attempts:
        return Decision(verdict=Verdict.QUARANTINE, reason=f"failed {len(failed)} times")
    return Decision(verdict=Verdict.RETRY, wait_s=backoff(len(failed), last.attempt_id, policy), reason="tried again")


def backoff(failures: int, salt: str, policy: RetryPolicy) -> float:
    """Seconds to wait after the given number of failures: exponential with full jitter.

    The jitter is a hash of `salt`, so a replayed schedule waits the same.
    """
    ceiling = min(policy.backoff_max_s, policy.backoff_s * 2.0 ** max(0, failures - 1))
    share = int(digest(["backoff", salt])[:8], 16) / 0xFFFFFFFF
    return ceiling * share
