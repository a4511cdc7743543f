"""The first record: which delimiter it speaks for, and what its names mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.manifest.columns import BASE, COLUMNS, REQUIRED, did_you_mean, is_ignored, meant_column
from schemas.manifest.encoding import DAMAGE, damage_name
from schemas.manifest.records import Lines
from schemas.manifest.refusal import file_problem, refusal
from schemas.manifest.trouble import scan_record
from schemas.manifest.wording import shown, visible
from schemas.problem import Code, RowProblem

DELIMITERS: Mapping[str, str] = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}

MOST_COLUMNS = 1_000

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""A first line that some spreadsheets write and read: it names the delimiter and is no record."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """`names` as written, `columns` after mapping; lines are 0-based, `end_line` is the one after its last."""

    names: tuple[str, ...]
    columns: tuple[str, ...]
    delimiter: str
    start_line: int
    end_line: int
    assumed: tuple[str, ...] = ()


def read_header(lines: Lines, *, delimiter: str | None, mapping: Mapping[str, str]) -> Header:
    """The header at the first line with text.

    Raises:
        InvalidManifest: with every problem of the header; without a sound one no row can be read.
    """
    start, named = find_header(lines)
    assumed = [f"line {start} (sep=) names the delimiter and is no row"] if named else []
    delimiter = delimiter or named
    at = lines.starts[start]
    chosen = delimiter or _sniff(lines.text, at, line=start + 1, known={*COLUMNS, *mapping})
    scan = scan_record(lines.text, at, delimiter=chosen, at_most=MOST_COLUMNS)
    if len(scan.fields) > MOST_COLUMNS:
        message = f"the header has more than {MOST_COLUMNS:,} columns"
        fix = "delete the columns that nobody needs"
        raise refusal([file_problem(Code.HEADER_MISSING, message, fix, line=start + 1)])
    names = tuple(scan.fields)
    columns = tuple(mapping.get(name, name) for name in names)
    quotes = [
        file_problem(fault.code, f"in the header, {fault.message}", fault.fix, line=lines.number_at(fault.at) + 1)
        for fault in scan.faults
    ]
    problems = quotes or _problems(names, columns, mapping, line=start + 1)
    if problems:
        raise refusal(problems)
    assumed.extend(_near_misses(columns))
    return Header(
        names=names,
        columns=columns,
        delimiter=chosen,
        start_line=start,
        end_line=lines.number_at(scan.end) + 1,
        assumed=tuple(assumed),
    )


def find_header(lines: Lines) -> tuple[int, str | None]:
    """The 0-based line where the header begins, and the delimiter that a line above it names."""
    start = next(index for index, line in enumerate(lines.lines) if not line.isspace())
    named = _SEPARATOR_LINE.fullmatch(lines.lines[start])
    if named and named[1] in DELIMITERS and start + 1 < len(lines):
        return start + 1, named[1]
    return start, None


def _sniff(text: str, at: int, *, line: int, known: set[str]) -> str:
    """The delimiter under which the header shows most known names, then most names that look like one."""

    def score(delimiter: str) -> tuple[int, int, int]:
        fields = scan_record(text, at, delimiter=delimiter, at_most=MOST_COLUMNS).fields
        return (
            sum(field in known for field in fields),
            sum(meant_column(field) is not None for field in fields[:64]),
            len(fields),
        )

    scores = {delimiter: score(delimiter) for delimiter in DELIMITERS}
    best = max(scores, key=lambda d: scores[d])
    if scores[best] == (0, 0, 1):
        raise refusal(
            [
                file_problem(
                    Code.DELIMITER_UNKNOWN,
                    f"none of {_spoken_delimiters()} separates the first line into columns",
                    "separate the columns with commas, or name the delimiter with --delimiter",
                    line=line,
                )
            ]
        )
    return best


def _spoken_delimiters() -> str:
    *most, last = DELIMITERS.values()
    return f"{', '.join(most)} and {last}"


def _problems(
    names: Sequence[str], columns: Sequence[str], mapping: Mapping[str, str], *, line: int
) -> list[RowProblem]:
    if not any(meant_column(name) for name in columns):
        return [
            file_problem(
                Code.HEADER_MISSING,
                f"the first line begins with {shown(names[0])} and names no known column",
                f"begin the file with a header line such as {','.join(COLUMNS[:4])}",
                line=line,
            )
        ]
    return [
        *_damaged(names, line),
        *_unknown_mappings(names, mapping, line),
        *_empty_names(names, line),
        *_duplicates(names, columns, line),
        *_missing(columns, line),
    ]


def _damaged(names: Sequence[str], line: int) -> list[RowProblem]:
    return [
        file_problem(
            Code.NUL_BYTE if damage.group() == "\0" else Code.ENCODING_INVALID,
            f"the name of column {number}, {shown(name)}, holds {damage_name(damage.group())}",
            "type the name again, then save the sheet as CSV UTF-8",
            line=line,
        )
        for number, name in enumerate(names, 1)
        if (damage := DAMAGE.search(name))
    ]


def _unknown_mappings(names: Sequence[str], mapping: Mapping[str, str], line: int) -> list[RowProblem]:
    return [
        file_problem(
            Code.COLUMN_UNKNOWN_MAP,
            f"--map names a column {shown(theirs)} that the sheet does not have{did_you_mean(theirs, names)}",
            "name a column of the sheet in --map",
            line=line,
            column=ours,
        )
        for theirs, ours in mapping.items()
        if theirs not in names
    ]


def _empty_names(names: Sequence[str], line: int) -> list[RowProblem]:
    return [
        file_problem(
            Code.HEADER_EMPTY,
            f"column {number} of {len(names)} has no name",
            "name the column or delete it",
            line=line,
        )
        for number, name in enumerate(names, 1)
        if not name.strip()
    ]


def _duplicates(names: Sequence[str], columns: Sequence[str], line: int) -> list[RowProblem]:
    found = []
    firsts: dict[str, int] = {}
    for number, name in enumerate(columns, 1):
        first = firsts.setdefault(name, number)
        if first == number or not name.strip() or is_ignored(name):
            continue
        written = "" if names[number - 1] == name else f" (mapped from {shown(names[number - 1])})"
        found.append(
            file_problem(
                Code.HEADER_DUPLICATE,
                f"columns {first} and {number} are both called {shown(name)}{written}",
                "rename or delete one of the two columns",
                line=line,
                column=name,
            )
        )
    return found


def _missing(columns: Sequence[str], line: int) -> list[RowProblem]:
    found = []
    for wanted in REQUIRED:
        if wanted in columns:
            continue
        near = next((name for name in columns if name not in COLUMNS and meant_column(name) == wanted), None)
        found.append(
            file_problem(
                Code.COLUMN_MISSING,
                f"there is no column {wanted}" + (f"; did you mean {shown(near)}?" if near else ""),
                f'rename the column to {wanted}, or use --map "{visible(near.strip())}={wanted}"'
                if near
                else f"add a column {wanted}",
                line=line,
                column=wanted,
            )
        )
    return found


def _near_misses(columns: Sequence[str]) -> list[str]:
    """Columns that are passed through although they look like one of ours: said aloud, for money may hang on it."""
    return [
        f"column {shown(name)} is passed through unread; if it is meant as {meant},"
        f' rename it or use --map "{visible(name.strip())}={meant}"'
        for name, meant in suspects(columns).items()
    ]


def suspects(columns: Sequence[str]) -> dict[str, str]:
    """{column that is none of ours: the absent column of ours that it was probably meant to be}."""
    found = {}
    for name in columns:
        if name not in COLUMNS and name != BASE and not is_ignored(name):
            meant = meant_column(name)
            if meant is not None and meant not in columns:
                found[name] = meant
    return found
