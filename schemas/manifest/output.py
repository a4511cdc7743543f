"""Records of results.csv and failed.csv: the input's own bytes, and our cells behind them.

The bytes of a record are copied as they came. Only three things are ever done to them, all at the end: columns that
callsheet wrote itself (a results.csv that was submitted again) are left off, a quote that was never closed is closed,
and cells that a record lacks are added empty, so that our cells stand under our names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from schemas.manifest.columns import trailing_result_columns
from schemas.manifest.encoding import Decoded, byte_order_mark, decode_part, encode, encode_shown
from schemas.manifest.header import find_header
from schemas.manifest.records import Lines
from schemas.manifest.trouble import scan_record

_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the last four are their full-width forms
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


def escape_formula(cell: str) -> str:
    """A cell that a spreadsheet would run as a formula gets an apostrophe in front; plain numbers stay.

    The rule is OWASP's for CSV injection (CWE-1236).
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def quote_cell(cell: str, delimiter: str) -> str:
    """The cell as it stands in a record (RFC 4180): in quotes where it must be, and only there."""
    must = any(mark in cell for mark in (delimiter, '"', "\r", "\n")) or cell != cell.strip()
    return '"' + cell.replace('"', '""') + '"' if must else cell


def written_cells(cells: Sequence[str], delimiter: str) -> str:
    """Cells of ours as a piece of a record: formulas escaped, quoted, joined."""
    return delimiter.join(quote_cell(escape_formula(cell), delimiter) for cell in cells)


def header_bytes(data: bytes, encoding: str, delimiter: str) -> bytes:
    """The header's record in a manifest that was read before, for those who kept only what was said about it."""
    bom = len(byte_order_mark(encoding))
    text = decode_part(data[bom:], encoding)
    lines = Lines(Decoded(text=text, encoding=encoding, bom_bytes=bom, byte_size=len(data)))
    first, _ = find_header(lines)
    scan = scan_record(text, lines.starts[first], delimiter=delimiter)
    start, end = lines.byte_range(first, lines.number_at(scan.end) + 1)
    return data[start:end]


def appended_header(
    raw: bytes, cells: Sequence[str], encoding: str, delimiter: str, line_end: str, *, columns: Sequence[str] = ()
) -> bytes:
    """The first bytes of the file: byte order mark, the input's header, our column names, line end."""
    return byte_order_mark(encoding) + appended_record(raw, cells, encoding, delimiter, line_end, columns=columns)


def appended_record(
    raw: bytes, cells: Sequence[str], encoding: str, delimiter: str, line_end: str, *, columns: Sequence[str] = ()
) -> bytes:
    """One record of the file with its line end; `raw` are the record's bytes in the manifest, without theirs.

    `columns` are the manifest's header names after mapping; without them a record keeps the number of cells that it
    has. Characters of `cells` that the encoding does not have are written as escapes (`\\u017e`).
    """
    kept = _settled(raw, encoding, delimiter, columns)
    return kept + encode_shown(delimiter + written_cells(cells, delimiter) + line_end, encoding)


def _settled(raw: bytes, encoding: str, delimiter: str, columns: Sequence[str]) -> bytes:
    """A record that ends where it should and has as many cells as the author's part of the header."""
    scan = scan_record(decode_part(raw, encoding), 0, delimiter=delimiter)
    own = len(columns) - trailing_result_columns(columns)
    if own < len(scan.fields) <= len(columns) and own < len(columns):
        # Cells behind the author's own are an earlier result's, also where some are missing or broken.
        return raw[: len(encode(decode_part(raw, encoding)[: scan.ends[own - 1]], encoding))]
    closing = '"' if scan.is_open else ""
    return raw + encode(closing + delimiter * max(0, own - len(scan.fields)), encoding)
