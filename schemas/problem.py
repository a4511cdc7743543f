"""A problem of one row, in the one shape that every report uses, and the closed list of its codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """What can be wrong with a row or a manifest. The list is closed; docs/manifest.md explains each one."""

    # the file as a whole
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    FILE_EMPTY = "FILE_EMPTY"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    FILE_NOT_TEXT = "FILE_NOT_TEXT"
    ENCODING_INVALID = "ENCODING_INVALID"
    DELIMITER_UNKNOWN = "DELIMITER_UNKNOWN"
    QUOTE_UNTERMINATED = "QUOTE_UNTERMINATED"
    QUOTE_MISPLACED = "QUOTE_MISPLACED"
    NUL_BYTE = "NUL_BYTE"
    HEADER_MISSING = "HEADER_MISSING"
    HEADER_DUPLICATE = "HEADER_DUPLICATE"
    HEADER_EMPTY = "HEADER_EMPTY"
    COLUMN_MISSING = "COLUMN_MISSING"
    COLUMN_UNKNOWN_MAP = "COLUMN_UNKNOWN_MAP"
    TOO_MANY_ROWS = "TOO_MANY_ROWS"
    NO_ROWS = "NO_ROWS"
    # one record
    ROW_RAGGED = "ROW_RAGGED"
    CELL_TOO_LONG = "CELL_TOO_LONG"
    ROW_ID_MISSING = "ROW_ID_MISSING"
    ROW_ID_INVALID = "ROW_ID_INVALID"
    ROW_ID_DUPLICATE = "ROW_ID_DUPLICATE"
    PROMPT_MISSING = "PROMPT_MISSING"
    PROMPT_TOO_LONG = "PROMPT_TOO_LONG"
    TEXT_CONTROL_CHARACTER = "TEXT_CONTROL_CHARACTER"
    PLACEHOLDER_UNKNOWN = "PLACEHOLDER_UNKNOWN"
    PLACEHOLDER_MALFORMED = "PLACEHOLDER_MALFORMED"
    MODE_UNKNOWN = "MODE_UNKNOWN"
    MODE_UNSUPPORTED = "MODE_UNSUPPORTED"
    MODE_MISMATCH = "MODE_MISMATCH"
    SEED_INVALID = "SEED_INVALID"
    SIZE_INVALID = "SIZE_INVALID"
    SIZE_UNSUPPORTED = "SIZE_UNSUPPORTED"
    DURATION_INVALID = "DURATION_INVALID"
    DURATION_WITH_AUDIO = "DURATION_WITH_AUDIO"
    PRIORITY_INVALID = "PRIORITY_INVALID"
    NOT_BEFORE_INVALID = "NOT_BEFORE_INVALID"
    SHOT_INVALID = "SHOT_INVALID"
    SHOT_DUPLICATE = "SHOT_DUPLICATE"
    VIDEO_INVALID = "VIDEO_INVALID"
    VIDEO_SIZE_MIXED = "VIDEO_SIZE_MIXED"
    # one reference
    REFERENCE_MISSING = "REFERENCE_MISSING"
    REFERENCE_OUTSIDE_ROOT = "REFERENCE_OUTSIDE_ROOT"
    REFERENCE_NOT_A_FILE = "REFERENCE_NOT_A_FILE"
    REFERENCE_SCHEME = "REFERENCE_SCHEME"
    REFERENCE_HOST = "REFERENCE_HOST"
    REFERENCE_ADDRESS = "REFERENCE_ADDRESS"
    REFERENCE_UNREACHABLE = "REFERENCE_UNREACHABLE"
    REFERENCE_TOO_LARGE = "REFERENCE_TOO_LARGE"
    REFERENCES_TOO_MANY = "REFERENCES_TOO_MANY"
    # one picture
    IMAGE_TYPE = "IMAGE_TYPE"
    IMAGE_CORRUPT = "IMAGE_CORRUPT"
    IMAGE_TOO_SMALL = "IMAGE_TOO_SMALL"
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"
    IMAGE_ANIMATED = "IMAGE_ANIMATED"
    # one speech file
    AUDIO_TYPE = "AUDIO_TYPE"
    AUDIO_CORRUPT = "AUDIO_CORRUPT"
    AUDIO_LENGTH_MISMATCH = "AUDIO_LENGTH_MISMATCH"
    AUDIO_TOO_SHORT = "AUDIO_TOO_SHORT"
    AUDIO_TOO_LONG = "AUDIO_TOO_LONG"
    AUDIO_SILENT = "AUDIO_SILENT"
    AUDIO_RATE = "AUDIO_RATE"
    AUDIO_CHANNELS = "AUDIO_CHANNELS"


@dataclass(frozen=True, kw_only=True)
class RowProblem:
    """One problem: where it stands, what it is, and how to mend it."""

    row_id: str
    """The row's own id; empty when the file as a whole is meant or the id itself is unreadable."""
    line: int
    """1-based physical line of the manifest where the record starts; 0 for the file as a whole."""
    column: str
    """Header name as callsheet knows it; empty when no single column is at fault."""
    code: Code
    message: str
    fix: str

    def as_dict(self) -> dict[str, str | int]:
        """The shape that every JSON report uses."""
        return {
            "row_id": self.row_id,
            "line": self.line,
            "column": self.column,
            "code": self.code.value,
            "message": self.message,
            "fix": self.fix,
        }


@dataclass(frozen=True, kw_only=True)
class ProblemGroup:
    """All problems of one code, as a report states them first."""

    code: Code
    rows: int
    first_line: int
    fix: str

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        where = f"first: line {self.first_line}" if self.first_line else "the file"
        return f"{self.code} {rows} ({where}); fix: {self.fix}"


def group_problems(problems: Iterable[RowProblem]) -> tuple[ProblemGroup, ...]:
    """Group by code, most rows first; `rows` counts distinct records, not problems."""
    by_code: dict[Code, list[RowProblem]] = {}
    for problem in problems:
        by_code.setdefault(problem.code, []).append(problem)
    groups = [
        ProblemGroup(
            code=code,
            rows=len({(p.line, p.row_id) for p in found}),
            first_line=min(p.line for p in found),
            fix=found[0].fix,
        )
        for code, found in by_code.items()
    ]
    return tuple(sorted(groups, key=lambda g: (-g.rows, g.first_line, g.code)))
