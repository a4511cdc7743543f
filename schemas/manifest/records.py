"""From text to records: RFC 4180 read strictly, with the exact bytes of every record and a way out of trouble.

Python's `csv` in strict mode reads whole runs of sound records fast. Where it stumbles, or a record over several
lines has the wrong number of cells, the careful scanner of `trouble.py` looks at that one record, and the fast path
goes on behind it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from schemas.manifest.encoding import UTF16_BE, UTF16_LE, Decoded, encode
from schemas.manifest.trouble import QuoteFault, line_at, mend, scan_record

_LINE = re.compile("[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")

MAX_LINES = 200
"""A record over more physical lines than this leaves the fast path and is looked at with care."""


class Record(NamedTuple):
    """One record as it stands in the file.

    `fields` are decoded and unquoted; `line` is the 1-based physical line where it starts; `data[byte_start:byte_end]`
    are its bytes, the line end not included; `position` counts records from 0, the header and blank lines not.
    """

    fields: tuple[str, ...]
    line: int
    byte_start: int
    byte_end: int
    position: int
    faults: tuple[QuoteFault, ...] = ()


def _split_lines(text: str) -> list[str]:
    # io.StringIO would copy the text at four bytes a character.
    if any(end in text for end in _NO_LINE_ENDS):
        return _LINE.findall(text)
    return text.splitlines(keepends=True)


_NO_LINE_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What ends a line for `str.splitlines`, but for no spreadsheet."""


class Lines:
    """The physical lines of a text and where each starts, in characters and in bytes of the file."""

    def __init__(self, decoded: Decoded) -> None:
        self.decoded = decoded
        self.text = decoded.text
        self.lines = _split_lines(decoded.text)
        self.starts = list(accumulate(map(len, self.lines), initial=0))

    def __len__(self) -> int:
        return len(self.lines)

    @cached_property
    def byte_starts(self) -> list[int]:
        """Byte offset of each line in the file, and the file's size at the end."""
        bom, unit = self.decoded.bom_bytes, self.decoded.unit
        if unit is not None:
            return [bom + unit * start for start in self.starts]
        encoding, narrow = self.decoded.encoding, self._line_end_unit
        sizes = (narrow * len(line) if line.isascii() else len(encode(line, encoding)) for line in self.lines)
        return list(accumulate(sizes, initial=bom))

    def line_end(self, index: int) -> str:
        """What ends one line: LF, CRLF, CR, or nothing at the end of the file."""
        line = self.lines[index]
        if line.endswith("\n"):
            return "\r\n" if line.endswith("\r\n") else "\n"
        return "\r" if line.endswith("\r") else ""

    def byte_range(self, first: int, after: int) -> tuple[int, int]:
        """The bytes of the lines from `first` up to `after`, the last one's line end not included."""
        end = len(self.line_end(after - 1)) * self._line_end_unit
        return self.byte_starts[first], self.byte_starts[after] - end

    @cached_property
    def _line_end_unit(self) -> int:
        return 2 if self.decoded.encoding in (UTF16_LE, UTF16_BE) else 1

    def number_at(self, position: int) -> int:
        """0-based line that holds the character at `position`."""
        return line_at(self.starts, position)


class Scanner:
    """Reads records from the line `first` (0-based) on; `skipped_rows` counts rows without any text."""

    def __init__(self, lines: Lines, *, delimiter: str, columns: int, first: int) -> None:
        self.lines = lines
        self.delimiter = delimiter
        self.columns = columns
        self.first = first
        self.skipped_rows = 0
        self.line_ends = {lines.line_end(first - 1)} if first else set()
        self.row_like_lines: list[tuple[int, int]] = []
        """(record's line, line inside one of its quoted cells that looks like a row), both 1-based."""
        # The first question is cheap, and answers for most sheets.
        self._blank_quote = (
            ' "' in lines.text and re.search(rf'(?:\A|[\r\n]|{re.escape(delimiter)}) +"', lines.text) is not None
        )

    def __iter__(self) -> Iterator[Record]:
        position = 0
        for fields, start, end, faults in self._rows():
            if not faults and not "".join(fields).strip():
                self.skipped_rows += len(fields) > 1
                continue
            self.line_ends.add(self.lines.line_end(end - 1))
            byte_start, byte_end = self.lines.byte_range(start, end)
            yield Record(
                fields=tuple(fields),
                line=start + 1,
                byte_start=byte_start,
                byte_end=byte_end,
                position=position,
                faults=faults,
            )
            position += 1

    def _rows(self) -> Iterator[tuple[list[str], int, int, tuple[QuoteFault, ...]]]:
        """(fields, first line, line after the last, faults), lines 0-based."""
        line = self.first
        while line < len(self.lines):
            for fields, start, end in self._sound_run(line):
                yield fields, start, end, ()
                line = end
            if line < len(self.lines):
                mended = mend(self.lines.text, self.lines.starts, line, delimiter=self.delimiter, columns=self.columns)
                yield mended.fields, line, mended.next_line, mended.faults
                line = mended.next_line

    def _sound_run(self, first: int) -> Iterator[tuple[list[str], int, int]]:
        """Records from `first` on, up to one that needs care or to the end."""
        start = first
        lines = self.lines.lines

        def feed() -> Iterator[str]:
            for index in range(first, len(lines)):
                if index - start > MAX_LINES:
                    return
                yield lines[index]

        reader = csv.reader(feed(), delimiter=self.delimiter, strict=True)
        try:
            for fields in reader:
                end = first + reader.line_num
                if end - start > 1 and not self._is_sound(fields, start, end):
                    return
                if self._blank_quote and any(field.lstrip(" ").startswith('"') for field in fields):
                    at = self.lines.starts[start]
                    if scan_record(self.lines.text, at, delimiter=self.delimiter, at_most=self.columns).faults:
                        return
                yield fields, start, end
                start = end
        except csv.Error:
            return

    def _is_sound(self, fields: list[str], start: int, end: int) -> bool:
        """Whether a record over several lines is taken as it is; lines inside it that look like rows are noted."""
        if len(fields) != self.columns:
            return False
        for index in range(start + 1, end):
            line = self.lines.lines[index]
            if '"' not in line and self.columns > 2 and line.count(self.delimiter) == self.columns - 1:
                self.row_like_lines.append((start + 1, index + 1))
                break
        return True
