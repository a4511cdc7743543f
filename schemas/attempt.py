"""One try at one piece of work: who, when, how it ended, whom it blames."""

from __future__ import annotations

from pydantic import Field

from schemas.object_ref import Value
from schemas.states import Blame, Ending

_BLAME = {
    Ending.BAD_INPUT: Blame.ROW,
    Ending.BAD_OUTPUT: Blame.ROW,
    Ending.OUT_OF_MEMORY: Blame.ROW,
    Ending.WORKER_FAULT: Blame.WORKER,
    Ending.LOST: Blame.WORKER,
    Ending.HUNG: Blame.WORKER,
    Ending.TIMEOUT: Blame.WORKER,
    Ending.PREEMPTED: Blame.PLATFORM,
    Ending.CANCELLED: Blame.PLATFORM,
    Ending.INTERNAL: Blame.PLATFORM,
}


def usual_blame(ending: Ending) -> Blame | None:
    """Whom an ending blames when nobody knows better; None for `ok`."""
    return _BLAME.get(ending)


class Failure(Value):
    """Why an attempt did not end well, as data across process borders."""

    ending: Ending
    blame: Blame
    message: str = Field(max_length=4000)
    """What came, what was expected; one paragraph for a person."""
    phase: str = ""
    """The step of the worker or the join that failed."""
    fix: str = ""

    @classmethod
    def of(cls, ending: Ending, message: str, *, phase: str = "", blame: Blame | None = None, fix: str = "") -> Failure:
        """A failure with the usual blame unless another is given; a long message is cut."""
        named = blame or usual_blame(ending) or Blame.PLATFORM
        return cls(ending=ending, blame=named, message=message[:4000], phase=phase, fix=fix)


class Attempt(Value):
    """One try, as the ledger keeps it. Times are seconds since the epoch on the database's clock."""

    attempt_id: str
    subject: str
    worker: str
    epoch: int
    round: int = 0
    """Retries asked for by a person begin a new round; only attempts of the current round count."""
    started_at: float
    ended_at: float | None = None
    ending: Ending | None = None
    blame: Blame | None = None
    phase: str = ""
    message: str = ""
    device_s: float = 0.0
    """Seconds a device was busy with it."""
