"""From a file's bytes to its records: encoding, delimiter, header, and every record that can be told apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

from schemas.manifest.columns import is_ignored
from schemas.manifest.encoding import decode
from schemas.manifest.form import check_form
from schemas.manifest.header import DELIMITERS, Header, read_header
from schemas.manifest.records import Lines, Record, Scanner
from schemas.manifest.refusal import file_problem, refusal
from schemas.manifest.wording import counted, visible
from schemas.problem import Code, RowProblem
from schemas.settings import Limits

LINE_ENDS: Mapping[str, str] = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}

LINES_PER_ROW = 10
CELLS_PER_ROW = 50
"""How many lines and cells a row allowed may have on average. A file of nothing but line ends or delimiters would
otherwise cost fifty times its size in memory before its rows are counted."""

_SMALL_ROWS = 20_000
"""A lower limit of rows does not lower those of lines and cells any further."""

_NO_MAPPING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class ParsedManifest:
    """A manifest whose rows can be told apart. All byte offsets count from the beginning of the file."""

    name: str
    columns: tuple[str, ...]
    """Header names after mapping, in file order."""
    header: tuple[str, ...]
    """Header names as written."""
    header_bytes: tuple[int, int]
    """Where the header's bytes begin and end, neither byte order mark nor line end included."""
    encoding: str
    delimiter: str
    line_end: str
    """What ends the header: what lines of ours should end with, too."""
    assumed: tuple[str, ...]
    """What was taken for granted, in sentences for people."""
    records: tuple[Record, ...]
    problems_by_position: Mapping[int, tuple[RowProblem, ...]]
    """What is wrong with the form of single records: quotes, number of cells, damaged characters, cell length."""

    @property
    def problems(self) -> tuple[RowProblem, ...]:
        """All of them, in file order."""
        return tuple(p for position in sorted(self.problems_by_position) for p in self.problems_by_position[position])


def parse_manifest(
    data: bytes,
    *,
    name: str,
    limits: Limits,
    mapping: Mapping[str, str] = _NO_MAPPING,
    delimiter: str | None = None,
) -> ParsedManifest:
    """Every record of a manifest; `mapping` is {header in the sheet: our column}, see `parse_mapping`.

    What is wrong with single records comes back as problems, the other records untouched by them.

    Raises:
        InvalidManifest: something is wrong with the file as a whole (too large, no text, damaged beyond telling rows
            apart, no usable header, no rows, too many rows); carries every problem of that kind found.
    """
    if len(data) > limits.manifest_bytes:
        message = f"the file has {len(data):,} bytes, more than the {limits.manifest_bytes:,} allowed"
        raise refusal([file_problem(Code.FILE_TOO_LARGE, message, "split the sheet into several campaigns")])
    if delimiter is not None and delimiter not in DELIMITERS:
        message = f"{delimiter!r} is no delimiter; expected one of {' '.join(map(repr, DELIMITERS))}"
        raise refusal([file_problem(Code.DELIMITER_UNKNOWN, message, "choose one of these delimiters")])
    decoded = decode(data)
    _refuse_line_count(decoded.text, limits)
    lines = Lines(decoded)
    header = read_header(lines, delimiter=delimiter, mapping=mapping)
    _refuse_cell_count(decoded.text, header.delimiter, limits)
    scanner = Scanner(lines, delimiter=header.delimiter, columns=len(header.columns), first=header.end_line)
    records = tuple(islice(scanner, limits.manifest_rows + 1))
    _refuse_row_count(records, limits)
    return ParsedManifest(
        name=name,
        columns=header.columns,
        header=header.names,
        header_bytes=lines.byte_range(header.start_line, header.end_line),
        encoding=decoded.encoding,
        delimiter=header.delimiter,
        line_end=lines.line_end(header.end_line - 1) or "\n",
        assumed=(f"encoding: {decoded.spoken}", *_assumptions(header, scanner)),
        records=records,
        problems_by_position=check_form(records, lines=lines, columns=header.columns, limits=limits),
    )


def _refuse_line_count(text: str, limits: Limits) -> None:
    most = LINES_PER_ROW * max(limits.manifest_rows, _SMALL_ROWS)
    pairs = text.count("\r\n") if "\r" in text else 0
    if text.count("\n") + text.count("\r") - pairs > most:
        message = f"the sheet has more than {most:,} lines; {limits.manifest_rows:,} rows are allowed"
        raise refusal([file_problem(Code.TOO_MANY_ROWS, message, "split the sheet into several campaigns")])


def _refuse_cell_count(text: str, delimiter: str, limits: Limits) -> None:
    most = CELLS_PER_ROW * max(limits.manifest_rows, _SMALL_ROWS)
    if text.count(delimiter) > most:
        message = f"the sheet has more than {most:,} cells"
        fix = "delete the columns that nobody needs, or split the sheet into several campaigns"
        raise refusal([file_problem(Code.FILE_TOO_LARGE, message, fix)])


def _refuse_row_count(records: tuple[Record, ...], limits: Limits) -> None:
    if not records:
        raise refusal([file_problem(Code.NO_ROWS, "the sheet has a header but no rows", "add at least one row")])
    if len(records) > limits.manifest_rows:
        message = f"the sheet has more than the {limits.manifest_rows:,} rows allowed"
        raise refusal([file_problem(Code.TOO_MANY_ROWS, message, "split the sheet into several campaigns")])


def _assumptions(header: Header, scanner: Scanner) -> list[str]:
    sentences = [f"delimiter: {DELIMITERS[header.delimiter]}"]
    ends = [spoken for end, spoken in LINE_ENDS.items() if end in scanner.line_ends]
    sentences.append(f"line ends: {' and '.join(ends) or 'none'}")
    mapped = [
        f"{theirs} as {ours}" for theirs, ours in zip(header.names, header.columns, strict=True) if theirs != ours
    ]
    if mapped:
        sentences.append(f"columns read under another name: {', '.join(mapped)}")
    if ignored := [visible(column) for column in header.columns if is_ignored(column)]:
        sentences.append(f"columns ignored because callsheet writes them: {', '.join(ignored)}")
    if scanner.skipped_rows:
        sentences.append(f"{counted(scanner.skipped_rows, 'row')} without any text skipped")
    sentences.extend(header.assumed)
    sentences.extend(
        f"line {line}: a quoted cell goes over several lines and line {inner} inside it looks like a row of its own;"
        " check the quotes there"
        for line, inner in scanner.row_like_lines[:20]
    )
    return sentences
