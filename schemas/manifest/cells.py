"""One cell in, one value or one fault out. Nothing here knows of rows or files.

Blanks around a cell were taken off before. Numbers are plain decimal digits: what a spreadsheet made of a number
(1E+05, 42.0, 1,000, 3-Apr, #REF!) is recognised and named, never guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from schemas.manifest.wording import shown
from schemas.mode import Mode
from schemas.problem import Code

ROW_ID = re.compile(r"(?!\.{1,2}$|_line-)[A-Za-z0-9._-]{1,64}")
"""`.` and `..` would be folders, and `_line-N` is what callsheet calls a row without a usable id."""

VIDEO = re.compile(r"(?!\.{1,2}$|_line-)[A-Za-z0-9._-](?:[A-Za-z0-9._ -]{0,62}[A-Za-z0-9._-])?")
"""As a row's id, blanks inside allowed: files are named by it."""

PRIORITIES = range(-1000, 1001)
SEEDS = range(2**63)
SHOTS = range(-1_000_000, 1_000_001)
SIDES = range(1, 100_000)

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?")
_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CONTROL_OR_BIDI = re.compile("[\x01-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

SPREADSHEET_ERRORS = frozenset(
    {"#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#N/A", "#NULL!", "#NUM!", "#ERROR!", "#SPILL!", "#CALC!"}
)

_AS_TEXT = "format the column as text in the spreadsheet and type the value again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong with one cell of one row."""

    code: Code
    column: str
    message: str
    fix: str


def control_character(text: str, *, is_prose: bool) -> str | None:
    """The first control character, escaped; prose may hold line ends, tabs and bidirectional marks."""
    if text.isprintable():
        return None  # most texts, and much faster said
    found = (_CONTROL if is_prose else _CONTROL_OR_BIDI).search(text)
    return f"U+{ord(found.group()):04X}" if found else None


def text_fault(column: str, cell: str, *, is_prose: bool = False) -> Fault | None:
    """Why this text cannot stand in that column, whatever it means."""
    if not cell:
        return None
    character = control_character(cell, is_prose=is_prose)
    if character is None:
        return None
    return Fault(
        code=Code.TEXT_CONTROL_CHARACTER,
        column=column,
        message=f"{shown(cell)} holds the invisible character {character}",
        fix="delete the invisible character, or type the cell again",
    )


def spreadsheet_error(column: str, cell: str, code: Code) -> Fault | None:
    """A formula that failed left its error instead of a value."""
    if not cell.startswith("#") or cell.upper() not in SPREADSHEET_ERRORS:
        return None
    return Fault(
        code=code,
        column=column,
        message=f"{cell} is the error of a spreadsheet's formula, not a value",
        fix="mend the formula in the spreadsheet and export the sheet again",
    )


def readable_id(cell: str) -> str:
    """The id if it is one, else nothing: what a report may call the row."""
    return cell if ROW_ID.fullmatch(cell) else ""


def row_id_fault(cell: str) -> Fault | None:
    if ROW_ID.fullmatch(cell):
        return None
    if not cell:
        return Fault(
            code=Code.ROW_ID_MISSING,
            column="row_id",
            message="row_id is empty",
            fix="give the row an id that no other row has and that stays the same when the sheet is sorted",
        )
    if fault := text_fault("row_id", cell):
        return fault
    if _is_damaged_number(cell):
        return _damaged("row_id", cell, Code.ROW_ID_INVALID)
    expected = "expected 1 to 64 of A-Z a-z 0-9 . _ -"
    if cell.startswith("_line-"):
        expected = "ids that begin with _line- are callsheet's own"
    return Fault(
        code=Code.ROW_ID_INVALID,
        column="row_id",
        message=f"row_id {shown(cell)}: {expected}",
        fix="write the id with letters, digits, dot, underscore and hyphen only",
    )


def video_fault(cell: str) -> Fault | None:
    if not cell or VIDEO.fullmatch(cell):
        return None
    return text_fault("video", cell) or Fault(
        code=Code.VIDEO_INVALID,
        column="video",
        message=f"video {shown(cell)}: expected 1 to 64 of A-Z a-z 0-9 . _ - and blanks",
        fix="write the name with letters, digits, dot, underscore, hyphen and blanks only",
    )


def read_integer(column: str, cell: str, allowed: range, code: Code) -> int | Fault | None:
    """A whole number; None for an empty cell."""
    if not cell:
        return None
    if _INTEGER.fullmatch(cell):
        number = int(cell)
        if number in allowed:
            return number
        bounds = f"{allowed.start} to {allowed.stop - 1}"
        return Fault(
            code=code,
            column=column,
            message=f"{column} {cell} is out of range; expected {bounds}",
            fix=f"write a whole number from {bounds}",
        )
    if cell.upper() in SPREADSHEET_ERRORS or _is_damaged_number(cell):
        return _damaged(column, cell, code)
    return Fault(
        code=code,
        column=column,
        message=f"{column} {shown(cell)} is not a whole number",
        fix="write a whole number in plain digits, or leave the cell empty",
    )


def read_duration(cell: str, longest: float) -> float | Fault | None:
    """Seconds, above 0 and at most `longest`; None for an empty cell."""
    if not cell:
        return None
    if _DECIMAL.fullmatch(cell):
        seconds = float(cell)
        if 0 < seconds <= longest:
            return seconds
        message = f"duration {cell} is out of range; expected more than 0 and at most {longest:g} seconds"
    elif re.fullmatch(r"[0-9]+,[0-9]+", cell):
        return Fault(
            code=Code.DURATION_INVALID,
            column="duration",
            message=f"duration {shown(cell)} has a decimal comma",
            fix=f"write seconds with a decimal point, here {cell.replace(',', '.')}",
        )
    elif cell.upper() in SPREADSHEET_ERRORS or _is_damaged_number(cell):
        return _damaged("duration", cell, Code.DURATION_INVALID)
    else:
        message = f"duration {shown(cell)} is not a number of seconds"
    return Fault(
        code=Code.DURATION_INVALID,
        column="duration",
        message=message,
        fix=f"write seconds such as 3.5, at most {longest:g}, or leave the cell empty",
    )


def read_mode(cell: str) -> Mode | Fault | None:
    """None for an empty cell. Upper or lower case is the same."""
    if not cell:
        return None
    if cell.upper() in Mode.__members__:
        return Mode[cell.upper()]
    return Fault(
        code=Code.MODE_UNKNOWN,
        column="mode",
        message=f"mode {shown(cell)} is unknown; expected {', '.join(Mode)}",
        fix="write TIA, TA or TI, or leave the cell empty to have it read off the filled cells",
    )


def read_not_before(cell: str) -> datetime | Fault | None:
    """A moment with its zone (ISO 8601), between the years 2000 and 2199; None for an empty cell."""
    if not cell:
        return None
    moment = _iso_moment(cell)
    if moment is not None and moment.tzinfo is not None and 2000 <= moment.year < 2200:
        return moment
    if moment is None:
        reason = "is not an ISO 8601 date and time"
    elif moment.tzinfo is None:
        reason = "has no time zone"
    else:
        reason = "is not between the years 2000 and 2199"
    if re.fullmatch(r"[0-9]{5}(?:[.,][0-9]+)?", cell):
        reason = "is a spreadsheet's serial number of a day"
    return Fault(
        code=Code.NOT_BEFORE_INVALID,
        column="not_before",
        message=f"not_before {shown(cell)} {reason}",
        fix="write date, time and zone like 2031-05-17T08:00:00+02:00 or 2031-05-17T06:00:00Z, as text",
    )


def _iso_moment(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def split_references(cell: str) -> tuple[str, ...]:
    """References separated by `|`, blanks around them and empty ones left out."""
    if "|" not in cell:  # most have one at most
        one = cell.strip()
        return (one,) if one else ()
    return tuple(filter(None, map(str.strip, cell.split("|"))))


_DAMAGED_NUMBER = re.compile(
    r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE]\+[0-9]+"  # 1.2E+10
    r"|[+-]?[0-9]+(?:\.[0-9]+)?[eE][0-9]+"  # 1e3
    r"|[+-]?[0-9]+[.,]0+"  # 42.0
    r"|[+-]?[0-9]{1,3}(?:[., '\u00a0\u202f][0-9]{3})+"  # 1,000
    r"|[0-9]{1,2}[-. /][A-Za-z]{3,4}\.?|[A-Za-z]{3,4}[-. /][0-9]{1,4}"  # 3-Apr, Apr-26
    r"|#{2,}"  # ########
)


def _is_damaged_number(cell: str) -> bool:
    return _DAMAGED_NUMBER.fullmatch(cell) is not None


def _damaged(column: str, cell: str, code: Code) -> Fault:
    return Fault(
        code=code,
        column=column,
        message=f"{column} {shown(cell)} is what a spreadsheet made of another value",
        fix=_AS_TEXT,
    )
