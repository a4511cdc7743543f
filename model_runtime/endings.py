"""What an exception means for an attempt: how it ended and whom it blames. Pure."""

from __future__ import annotations

from schemas.attempt import Failure
from schemas.errors import CallsheetError, Corrupted, InvalidMedia, NotFound, Permanent
from schemas.states import Blame, Ending


def failure_of(error: BaseException, phase: str) -> Failure:
    """The failure that an exception in `phase` stands for.

    `InvalidMedia` blames the row; `FloatingPointError` is a picture that is not a number; memory that ran out and a
    timeout have endings of their own; what is permanent, vanished or damaged blames the platform; anything else is
    the worker's fault.
    """
    found = (case for case in _CASES if isinstance(error, case[0]))
    _, ending, blame = next(found, (Exception, Ending.WORKER_FAULT, None))
    if is_out_of_memory(error):
        ending, blame = Ending.OUT_OF_MEMORY, None
    fix = error.fix if isinstance(error, CallsheetError) else ""
    return Failure.of(ending, describe(error), phase=phase, blame=blame, fix=fix)


_CASES: tuple[tuple[type[BaseException], Ending, Blame | None], ...] = (
    (InvalidMedia, Ending.BAD_INPUT, Blame.ROW),
    (FloatingPointError, Ending.BAD_OUTPUT, None),
    (NotFound, Ending.INTERNAL, Blame.PLATFORM),
    (Corrupted, Ending.INTERNAL, Blame.PLATFORM),
    (Permanent, Ending.INTERNAL, Blame.PLATFORM),
    (TimeoutError, Ending.TIMEOUT, None),
)


def is_out_of_memory(error: BaseException) -> bool:
    """True for `MemoryError` and, known by name so that torch need not be imported, for torch's own."""
    return isinstance(error, MemoryError) or any(t.__name__ == "OutOfMemoryError" for t in type(error).__mro__)


def describe(error: BaseException) -> str:
    """One paragraph for a person: our own errors speak for themselves, others by type and text."""
    if isinstance(error, CallsheetError):
        return error.message
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
