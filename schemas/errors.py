"""One tree of errors, by what the caller will do about them.

    CallsheetError
    +-- InvalidInput        what came cannot be used: mend it and come again   (exit 2)
    |   +-- InvalidManifest     the sheet itself, or rows of it
    |   +-- InvalidMedia        one picture or one speech file
    |   +-- InvalidSettings     a setting is unknown, missing or impossible
    +-- Refused             a policy, budget or limit says no                  (exit 3)
    +-- NotFound            no campaign, row or object of that name            (exit 2)
    +-- LeaseLost           somebody else has the right now: drop the work
    +-- CoordinatorLost     another flow coordinates this campaign: only look on
    +-- Retryable           try again later: a service is away or busy
    |   +-- Corrupted           what was read back is not what was written
    +-- Permanent           trying again cannot help
        +-- Incompatible        the ledger's schema is not one this program knows

Every message says what came and what was expected; `fix` says how to mend it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from schemas.problem import Code, RowProblem


class CallsheetError(Exception):
    """Root of all errors that callsheet raises on purpose.

    `fix` is one imperative sentence for the person who reads the message; `exit_code` is what the command
    line ends with when the error reaches it.
    """

    exit_code = 1

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders whole; the default would call __init__ with the message alone.
        return (_rebuild, (type(self), self.args, self.__dict__))

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.fix}" if self.fix else self.message


def _rebuild(kind: type[CallsheetError], args: tuple[Any, ...], state: dict[str, Any]) -> CallsheetError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidInput(CallsheetError):
    """What came cannot be used; nothing was stored."""

    exit_code = 2


class InvalidManifest(InvalidInput):
    """The manifest as a whole cannot be read, or rows of it are bad; carries every problem found."""

    def __init__(self, message: str, *, fix: str = "", problems: tuple[RowProblem, ...] = ()) -> None:
        super().__init__(message, fix=fix)
        self.problems = problems


class InvalidMedia(InvalidInput):
    """One picture or speech file cannot be used; `code` is from the closed list of row problems."""

    def __init__(self, code: Code, message: str, *, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.code = code


class InvalidSettings(InvalidInput):
    """A setting is unknown, missing or impossible."""


class Refused(CallsheetError):
    """A budget, policy or limit says no; nothing was changed."""

    exit_code = 3


class NotFound(CallsheetError):
    """There is no campaign, row or object of that name."""

    exit_code = 2


class LeaseLost(CallsheetError):
    """The lease's epoch is not the ledger's any more: the work belongs to somebody else now."""


class CoordinatorLost(CallsheetError):
    """Another flow coordinates this campaign now: become an observer."""


class Retryable(CallsheetError):
    """A service is away, busy or answered nonsense; the same call may succeed later."""


class Corrupted(Retryable):
    """What was read back differs from what was written, in size or SHA-256."""


class Permanent(CallsheetError):
    """Trying the same again cannot help."""


class Incompatible(Permanent):
    """The ledger's schema revision is not one that this program can work on."""

    exit_code = 2
