"""results.csv and failed.csv: the author's own bytes, and our cells behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from flows.delivery.collect import BAD, GOOD, OPEN, Collected, DeliveredRow, RowError
from schemas.campaign import ManifestRef
from schemas.errors import Corrupted
from schemas.manifest.columns import BASE, RESULT_COLUMNS, trailing_result_columns
from schemas.manifest.encoding import byte_order_mark, decode, decode_part, encode
from schemas.manifest.output import appended_record, quote_cell
from schemas.manifest.records import Lines
from schemas.manifest.trouble import scan_record

_SEPARATOR_LINE = re.compile(r'"?sep=."?\s*', re.IGNORECASE)
"""A first line that some spreadsheets write and read; it is no record."""

FAILED_COLUMNS = ("_error_code", "_error")


@dataclass(frozen=True, kw_only=True)
class StoredSheet:
    """The manifest as it came, and where its header lies in it."""

    ref: ManifestRef
    data: bytes
    header_start: int
    header_end: int

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The author's columns, after mapping; what an earlier results.csv added is not the author's."""
        return self.ref.columns[: len(self.ref.columns) - trailing_result_columns(self.ref.columns)]

    def preamble(self) -> bytes:
        """Byte order mark and whatever the author wrote above the header (`sep=;`)."""
        mark = byte_order_mark(self.ref.encoding)
        return mark + self.data[len(mark) : self.header_start]

    def header(self) -> bytes:
        return self.data[self.header_start : self.header_end]

    def record(self, row: DeliveredRow) -> bytes:
        return self.data[row.byte_start : row.byte_end]

    def cells(self, raw: bytes) -> list[str]:
        return list(scan_record(decode_part(raw, self.ref.encoding), 0, delimiter=self.ref.delimiter).fields)

    def prompt(self, byte_start: int, byte_end: int) -> str:
        """What the row says as its prompt, placeholders and all."""
        cells, place = self.cells(self.data[byte_start:byte_end]), self.ref.columns.index("prompt")
        return cells[place] if place < len(cells) else ""

    def extended(self, raw: bytes, cells: Sequence[str]) -> bytes:
        return appended_record(
            raw, cells, self.ref.encoding, self.ref.delimiter, self.ref.line_end, columns=self.ref.columns
        )

    def written(self, cells: Sequence[str]) -> bytes:
        """Cells of the author as a record, quoted anew."""
        return encode(self.ref.delimiter.join(quote_cell(c, self.ref.delimiter) for c in cells), self.ref.encoding)


def stored_sheet(ref: ManifestRef, data: bytes) -> StoredSheet:
    """The manifest's bytes with their header found again.

    Raises:
        Corrupted: these are not the bytes that were submitted.
    """
    lines = Lines(decode(data))
    first = next(index for index, line in enumerate(lines.lines) if not line.isspace())
    if _SEPARATOR_LINE.fullmatch(lines.lines[first]) and first + 1 < len(lines):
        first += 1
    scan = scan_record(lines.text, lines.starts[first], delimiter=ref.delimiter)
    if len(scan.fields) != len(ref.columns):
        raise Corrupted(
            f"the header of {ref.name} has {len(scan.fields)} columns, the ledger says {len(ref.columns)}",
            fix="submit the sheet again",
        )
    start, end = lines.byte_range(first, lines.number_at(scan.end) + 1)
    return StoredSheet(ref=ref, data=data, header_start=start, header_end=end)


@dataclass(frozen=True, kw_only=True)
class VideoLinks:
    """Where one video and its poster are, for the sheet."""

    video: str = ""
    poster: str = ""


def results(collected: Collected, sheet: StoredSheet, links: Mapping[str, VideoLinks]) -> Iterator[bytes]:
    """results.csv piece by piece: every record of the input in its order; `links` by video id.

    Raises:
        Corrupted: ok + failed + not run is not the input.
    """
    check_partition(collected, sheet)
    yield sheet.preamble() + sheet.extended(sheet.header(), RESULT_COLUMNS)
    for row in collected.rows:
        yield sheet.extended(sheet.record(row), _result_cells(collected, row, links))


def check_partition(collected: Collected, sheet: StoredSheet) -> None:
    """ok + failed + not run = input, always; never a results file that lacks a row."""
    good, bad, left = (len(collected.rows_in(states)) for states in (GOOD, BAD, OPEN))
    ends = [(row.byte_start, row.byte_end) for row in collected.rows]
    in_order = all(before[1] <= after[0] for before, after in pairwise(ends))
    if good + bad + left != sheet.ref.rows or not in_order or (ends and ends[-1][1] > len(sheet.data)):
        raise Corrupted(
            f"{good} finished + {bad} failed + {left} not run are not the {sheet.ref.rows} rows of {sheet.ref.name}",
            fix="submit the sheet again; its rows in the ledger do not fit the stored file",
        )


def _result_cells(collected: Collected, row: DeliveredRow, links: Mapping[str, VideoLinks]) -> tuple[str, ...]:
    video = collected.videos[row.video_id]
    link = links.get(row.video_id, VideoLinks())
    return (
        video.state.value,
        link.video,
        link.poster,
        f"{video.publication.duration_s:.2f}" if video.publication else "",
        "" if row.seed is None else str(row.seed),
        str(row.attempts),
        f"{row.device_s:.1f}",
        row.errors[0].code if row.errors else "",
        error_text(row.errors),
    )


def error_text(errors: Sequence[RowError]) -> str:
    """All of a row's errors with their fixes, in one cell."""
    return " | ".join(f"{e.message}; fix: {e.fix}" if e.fix else e.message for e in errors)


def failed(collected: Collected, sheet: StoredSheet) -> Iterator[bytes]:
    """failed.csv piece by piece: the rows of failed, invalid and cancelled videos, fit to be submitted again.

    The header has the names that callsheet reads, so no `--map` is needed, and `_base` says where relative
    references start from, so the file works wherever it lies.
    """
    names = sheet.cells(sheet.header())[: len(sheet.own_columns)]
    header = sheet.header() if tuple(names) == sheet.own_columns else sheet.written(sheet.own_columns)
    has_base = BASE in sheet.own_columns
    yield sheet.preamble() + sheet.extended(header, FAILED_COLUMNS if has_base else (*FAILED_COLUMNS, BASE))
    for row in collected.rows_in(BAD):
        raw, base = sheet.record(row), _given_base(sheet, sheet.record(row))
        cells = (row.errors[0].code if row.errors else "", error_text(row.errors))
        if not has_base:
            yield sheet.extended(raw, (*cells, base or sheet.ref.base))
        else:
            yield sheet.extended(raw if base else _with_base(sheet, raw), cells)


def _given_base(sheet: StoredSheet, raw: bytes) -> str:
    """What the row itself says in `_base`, as rows of an earlier failed.csv do."""
    if BASE not in sheet.ref.columns:
        return ""
    cells, place = sheet.cells(raw), sheet.ref.columns.index(BASE)
    return cells[place].strip() if place < len(cells) else ""


def _with_base(sheet: StoredSheet, raw: bytes) -> bytes:
    cells = sheet.cells(raw)[: len(sheet.own_columns)]
    cells += [""] * (len(sheet.own_columns) - len(cells))
    cells[sheet.own_columns.index(BASE)] = sheet.ref.base
    return sheet.written(cells)
