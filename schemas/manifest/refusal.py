"""A manifest that cannot be read as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.errors import InvalidManifest
from schemas.problem import Code, RowProblem


def file_problem(code: Code, message: str, fix: str, *, line: int = 0, column: str = "") -> RowProblem:
    """A problem of the file itself; line 0 where no line is at fault."""
    return RowProblem(row_id="", line=line, column=column, code=code, message=message, fix=fix)


def refusal(problems: Sequence[RowProblem]) -> InvalidManifest:
    """The error that carries these problems and speaks of the first."""
    first, more = problems[0], len(problems) - 1
    where = f"line {first.line}: " if first.line else ""
    rest = f" (and {more} more)" if more else ""
    return InvalidManifest(f"{where}{first.message}{rest}", fix=first.fix, problems=tuple(problems))
