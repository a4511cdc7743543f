"""Records that Python's `csv` cannot read: what is wrong with their quotes, and where the next sound row begins.

A quote that is never closed would swallow every row up to the next quote. So when a record over several lines is
faulty, or has the wrong number of cells, each line inside it is tried as the beginning of a row of its own; the first
one that is a faultless row with the right number of cells ends the broken record.

Every quoted run ends at the next line with an unpaired quote, and a scan stops at about twice the expected number of
cells, so the work stays linear in the size of the file however it is broken.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from schemas.problem import Code

_QUOTED = re.compile(r'"[^"]*+(?:""[^"]*+)*+"')
_BLANK_BEFORE_QUOTE = re.compile(r' +(?=")')


@dataclass(frozen=True, kw_only=True, slots=True)
class QuoteFault:
    """What is wrong with the quotes of one cell. `cell` counts from 0; `at` is a character of the text."""

    code: Code
    cell: int
    at: int
    message: str
    fix: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """One record read with care; `ends` are the characters behind each of its cells."""

    fields: list[str]
    ends: list[int]
    faults: tuple[QuoteFault, ...] = ()

    @property
    def end(self) -> int:
        """Where its line end, or the end of the text, stands."""
        return self.ends[-1]

    @property
    def is_open(self) -> bool:
        """A quote is still open at the end."""
        return any(fault.code is Code.QUOTE_UNTERMINATED for fault in self.faults)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mended:
    """A record and the 0-based line where the next one begins."""

    fields: list[str]
    faults: tuple[QuoteFault, ...]
    next_line: int


def scan_record(text: str, position: int, *, delimiter: str, at_most: int | None = None) -> Scan:
    """The record that begins at `position`, read leniently and with its faults.

    Stops after `at_most` cells and one more, for callers that want to know no more than that it has too many.
    """
    plain = _plain(delimiter)
    fields: list[str] = []
    ends: list[int] = []
    faults: list[QuoteFault] = []
    size = len(text)
    while True:
        if blank := _BLANK_BEFORE_QUOTE.match(text, position):
            position = blank.end()
            faults.append(_misplaced(len(fields), position, "there is a blank before the opening quote"))
        if text.startswith('"', position):
            quoted = _QUOTED.match(text, position)
            if quoted is None:
                faults.append(_unterminated(len(fields), position))
                fields.append(text[position + 1 :].replace('""', '"'))
                ends.append(size)
                return Scan(fields=fields, ends=ends, faults=tuple(faults))
            value = quoted.group()[1:-1].replace('""', '"')
            position = quoted.end()
            rest = plain.match(text, position)
            if rest and rest.group():
                faults.append(_misplaced(len(fields), position, "there is text after the closing quote"))
                value += rest.group()
                position = rest.end()
        else:
            unquoted = plain.match(text, position)
            value = unquoted.group() if unquoted else ""
            position += len(value)
        fields.append(value)
        ends.append(position)
        if position >= size or text[position] in "\r\n" or (at_most is not None and len(fields) > at_most):
            return Scan(fields=fields, ends=ends, faults=tuple(faults))
        position += 1


def mend(text: str, starts: Sequence[int], line: int, *, delimiter: str, columns: int) -> Mended:
    """The record that begins on `line` (0-based), and where to go on; `starts` are the characters where lines begin."""
    at_most = 2 * columns + 8
    scan = scan_record(text, starts[line], delimiter=delimiter, at_most=at_most)
    last = line_at(starts, scan.end)
    if last > line and (scan.faults or len(scan.fields) != columns):
        for candidate in range(line + 1, last + 1):
            if _is_row(text, starts[candidate], delimiter=delimiter, columns=columns):
                broken = _scan_part(text, starts[line], starts[candidate], delimiter=delimiter)
                return Mended(fields=broken.fields, faults=broken.faults, next_line=candidate)
    if len(scan.fields) > at_most:
        # Not followed to its end, which may be the file's: it ends with the line that it has reached.
        scan = _scan_part(text, starts[line], starts[last + 1], delimiter=delimiter)
    return Mended(fields=scan.fields, faults=scan.faults, next_line=line_at(starts, scan.end) + 1)


def _is_row(text: str, position: int, *, delimiter: str, columns: int) -> bool:
    scan = scan_record(text, position, delimiter=delimiter, at_most=columns)
    return len(scan.fields) == columns > 1 and not scan.faults


def _scan_part(text: str, start: int, end: int, *, delimiter: str) -> Scan:
    """The record inside text[start:end], whose last line end belongs to no cell."""
    part = text[start:end]
    part = part.removesuffix("\n").removesuffix("\r")
    scan = scan_record(part, 0, delimiter=delimiter)
    faults = tuple(replace(fault, at=fault.at + start) for fault in scan.faults)
    return Scan(fields=scan.fields, ends=[start + end for end in scan.ends], faults=faults)


def line_at(starts: Sequence[int], position: int) -> int:
    """0-based line that holds the character at `position`; `starts` ends with the length of the text."""
    return max(0, min(bisect.bisect_right(starts, position), len(starts) - 1) - 1)


@cache
def _plain(delimiter: str) -> re.Pattern[str]:
    return re.compile(rf"[^{re.escape(delimiter)}\r\n]*")


def _unterminated(cell: int, at: int) -> QuoteFault:
    return QuoteFault(
        code=Code.QUOTE_UNTERMINATED,
        cell=cell,
        at=at,
        message="the quote that opens here is never closed",
        fix='close the quote, and write a quote inside a quoted cell twice ("")',
    )


def _misplaced(cell: int, at: int, message: str) -> QuoteFault:
    return QuoteFault(
        code=Code.QUOTE_MISPLACED,
        cell=cell,
        at=at,
        message=message,
        fix='put quotes around the whole cell, and write a quote inside it twice ("")',
    )
