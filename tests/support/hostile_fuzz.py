"""Sheets that grow out of good ones by mishap and malice: for Hypothesis, and what stands in for media meanwhile."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from hypothesis import strategies as st

from flows.stages.executor import InlineExecutor, Task
from flows.stages.media_check import Kind, MediaAnswer, MediaQuestion
from schemas.manifest.columns import COLUMNS
from schemas.object_ref import ObjectRef
from schemas.problem import Code
from schemas.shot import Picture

GOOD = {
    "row_id": ["r1", "r2", "r3", "a.b-c_d", "R1", "x" * 64],
    "prompt": [
        "A woman speaks",
        'He says "no", twice',
        "{{note}} in {{ note }}",
        "two\nlines",
        "-5 degrees",
        "日本語 👩",
    ],
    "image": ["good.png", "good.png|good.png", ""],
    "audio": ["", "", "", "none.wav"],
    "video": ["", "v1", "v 2"],
    "mode": ["", "TI", "ta"],
    "width": ["", "256", "832"],
    "height": ["", "256", "480"],
    "duration": ["", "1", "0.5"],
    "not_before": ["", "2031-05-17T08:00:00Z"],
    "note": ["", "x", "n,o;t\te|", '"', " blanks ", "a\r\nb"],
}
"""Cells as a careful author writes them; every other column is empty or a small number."""

NASTY = [
    "=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "\r=1", "'=1", "\uff1d1", "=HYPERLINK(\"http://x\",\"y\")",
    "{{", "}}", "{{note}}", "{{nobody}}", "{{prompt}}", "\"", "\"\"", "\"a\"b", " \"a\"", "a\"b", ",", ";", "|", "\t",
    "\0", "\x1b[2J", "\u202e", "\u2028", "\x85", "\ufeff", "\u200d", "\ud800", "../../etc/passwd", "/dev/zero",
    "http://127.0.0.1/", "s3://b/k", "https://x", "concat:a|b", "x" * 5_000, "9" * 400, "1e400", "NaN", "#REF!",
    "_line-2", "..", "<script>alert(1)</script>", "&amp;", "%s%n", "$(id)", "\U0010ffff", "é" * 3, "\n\n\n",
    "a\nb,c,d,e\n",
]  # fmt: skip

NAMES = ["note", "Note", "=cmd", "@x", "_status", "_error", "_base", "<b>", "image_path", "note ", "+a,b", ""]

CHUNKS = [
    b'"', b'""', b'"\n"', b"\0", b"\r", b"\n", b"\r\n", b",", b";", b"\t", b"|", b"\xff", b"\x80", b"\xed\xa0\x80",
    b"\xc0\xaf", b"\xef\xbb\xbf", b"\xff\xfe", b"{{", b"}}", b"=1,", b' "', b'",', b"\xe2\x80\xa8", b"sep=;\n", b"'",
    b"\x1a", b"row_id,prompt,image\n", b"r1,a,good.png\n", b"PK\x03\x04", b"\\",
]  # fmt: skip


def _cell(column: str) -> st.SearchStrategy[str]:
    good = st.sampled_from(GOOD.get(column, ["", "1"]))
    return st.one_of(*[good] * 14, st.sampled_from(NASTY), st.text(max_size=6))


@st.composite
def _tables(draw: st.DrawFn) -> list[list[str]]:
    columns = ["row_id", "prompt", "image", *draw(st.lists(st.sampled_from(COLUMNS[3:]), max_size=3, unique=True))]
    columns += draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
    columns = draw(st.permutations(columns)) if draw(st.booleans()) else columns
    rows = [[draw(_cell(column)) for column in columns] for _ in range(draw(st.integers(1, 4)))]
    if draw(st.integers(0, 3)):
        for number, row in enumerate(rows):
            row[columns.index("row_id")] = f"r{number}"
    return [columns, *rows]


def _written(table: list[list[str]], delimiter: str, line_end: str, quoting: str) -> str:
    """A table as CSV; `quoting` is how careful its writer was."""

    def cell(text: str) -> str:
        special = any(mark in text for mark in f'{delimiter}"\r\n')
        if quoting == "never" or (quoting == "needed" and not special):
            return text
        return '"' + (text if quoting == "careless" else text.replace('"', '""')) + '"'

    return "".join(delimiter.join(map(cell, row)) + line_end for row in table)


_MUTATIONS = st.tuples(
    st.sampled_from(["insert", "insert", "delete", "repeat", "cut", "flip"]),
    # Mostly behind the header: a damaged header refuses the sheet as a whole, and no row is looked at.
    st.one_of(*[st.integers(40, 2**16)] * 4, st.integers(0, 40)),
    st.integers(1, 40),
    st.sampled_from(CHUNKS),
)


def _mutated(data: bytes, mutation: tuple[str, int, int, bytes]) -> bytes:
    what, place, length, chunk = mutation
    at = min(len(data), place if place <= 40 else 40 + place % max(1, len(data) - 39))
    match what:
        case "insert":
            return data[:at] + chunk + data[at:]
        case "delete":
            return data[:at] + data[at + length :]
        case "repeat":
            return data[:at] + data[at : at + length] * 3 + data[at:]
        case "cut":
            return data[:at]
        case _:
            return data[:at] + bytes(b ^ (1 << length % 8) for b in data[at : at + 1]) + data[at + 1 :]


@st.composite
def hostile_sheets(draw: st.DrawFn) -> bytes:
    """Mostly good sheets with some bad cells, in some dialect, then damaged up to three times; now and then noise."""
    if draw(st.integers(0, 19)) == 0:
        return draw(
            st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
        )
    delimiter, line_end = draw(st.sampled_from(",,,,;\t|")), draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    quoting = draw(st.sampled_from(["needed", "needed", "needed", "always", "careless", "never"]))
    text = _written(draw(_tables()), delimiter, line_end, quoting)
    codec, mark = draw(st.sampled_from([("utf-8", b""), ("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), *_RARE]))
    data = mark + text.encode(codec, "surrogatepass" if codec.startswith("utf") else "replace")
    for mutation in draw(st.lists(_MUTATIONS, max_size=2)):
        data = _mutated(data, mutation)
    return data


_RARE = [("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"), ("cp1252", b""), ("latin-1", b"")]

PICTURE = Picture(
    object=ObjectRef(key=f"inputs/00/{'0' * 64}", sha256="0" * 64, size=1, media_type="image/png"), width=80, height=80
)


class KnownAnswers(InlineExecutor):
    """Answers media questions by heart, `good.png` well and everything else badly: what files do is tried elsewhere."""

    def submit(self, function: Any, *args: Any) -> Task:
        if not isinstance(args[0], MediaQuestion):
            return super().submit(function, *args)
        future: Future[MediaAnswer] = Future()
        is_good = args[0].kind is Kind.IMAGE and args[0].reference == "good.png"
        missing = MediaAnswer(code=Code.REFERENCE_MISSING, message="it does not exist", fix="put it there")
        future.set_result(MediaAnswer(picture=PICTURE) if is_good else missing)
        return future
