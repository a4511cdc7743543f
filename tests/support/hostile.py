"""A hostile case: files that a stranger may bring, the sheet among them, and all that must be said of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.problem import Code
from tests.support.media_files import image_bytes, photo

GOOD_PICTURE = image_bytes(photo(80, 80), "PNG")


@dataclass(frozen=True, kw_only=True, order=True)
class Said:
    """One problem as a report must say it; texts are free, these four are not."""

    line: int
    column: str
    code: Code
    row_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """`build` fills an empty folder and answers the sheet's path; `said` are all problems, in any order.

    Nothing at all in `said`: the files make the command refuse before it looks at rows, with `error` on stderr.
    """

    name: str
    build: Callable[[Path], Path]
    said: tuple[Said, ...]
    options: tuple[str, ...] = ()
    error: str = ""


def whole(code: Code, line: int = 0, column: str = "") -> Said:
    """A problem of the file as a whole."""
    return Said(line=line, column=column, code=code)


def cell(code: Code, column: str, *, line: int = 2, row_id: str = "r1") -> Said:
    """A problem of one cell."""
    return Said(line=line, column=column, code=code, row_id=row_id)


def sheet_bytes(rows: Sequence[Mapping[str, str]]) -> bytes:
    """These cells as CSV; columns in order of first appearance."""
    stream = io.StringIO()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8", "surrogateescape")


def good_row(row_id: str = "good", **cells: str) -> dict[str, str]:
    """A row that nothing is wrong with, as far as `cells` lets it."""
    return {"row_id": row_id, "prompt": "A woman speaks", "image": "good.png", "audio": ""} | cells


Content = bytes | str | Callable[[], bytes | str]
"""A file's content, or what makes it when it is needed; text is UTF-8."""


def with_bytes(data: Content, *, name: str = "sheet.csv") -> Callable[[Path], Path]:
    """A sheet of this content beside a good picture."""

    def build(folder: Path) -> Path:
        (folder / "good.png").write_bytes(GOOD_PICTURE)
        path = folder / name
        made = data() if callable(data) else data
        path.write_bytes(made.encode() if isinstance(made, str) else made)
        return path

    return build


def with_rows(*rows: Mapping[str, str]) -> Callable[[Path], Path]:
    """A sheet of these cells beside a good picture."""
    return with_bytes(sheet_bytes(rows))


def with_media(column: str, name: str, make: bytes | Callable[[Path], object]) -> Callable[[Path], Path]:
    """A good row on line 2 and on line 3 the row `bad`, whose `column` names one hostile file.

    `make` is the file's content, or what puts something at its path.
    """

    def build(folder: Path) -> Path:
        sheet = with_rows(good_row(), good_row("bad", **{"image": "", column: name}))(folder)
        path = folder / name
        if isinstance(make, bytes):
            path.write_bytes(make)
        else:
            make(path)
        return sheet

    return build
