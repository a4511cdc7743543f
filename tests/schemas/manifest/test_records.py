"""Records, their bytes, and the way out of broken quotes."""

import codecs
import csv
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import InvalidManifest
from schemas.manifest.encoding import decode_part
from schemas.manifest.rows import ManifestCheck
from schemas.problem import Code
from tests.support.sheets import check_sheet, found, parse_sheet

HEADER = "row_id,prompt,image"


def test_an_open_quote_does_not_hide_the_problems_of_later_rows() -> None:
    """An unterminated quote in row 3 of 10 leaves the problems of rows 5 and 8 to be found."""
    rows = [f"r{n},A man speaks,face.png" for n in range(1, 11)]
    rows[2] = 'r3,"A man speaks,face.png'
    rows[4] = "r5,A man speaks,"
    rows[7] = "r 8,A man speaks,face.png"
    check = check_sheet("\n".join([HEADER, *rows]) + "\n")
    assert found(check) == [
        (4, "prompt", Code.QUOTE_UNTERMINATED),
        (6, "mode", Code.MODE_UNKNOWN),
        (9, "row_id", Code.ROW_ID_INVALID),
    ]
    assert len(check.rows) == 10
    assert sum(not row.problems for row in check.rows) == 7


@pytest.mark.parametrize("later", ['r5,"A man speaks",b.png', 'r5,"say ""hi"" now",b.png', 'r5,"",b.png', "r5,x,b.png"])
def test_an_open_quote_ends_before_the_next_row_whatever_quotes_follow(later: str) -> None:
    """A quote further down does not close the one left open above."""
    parsed = parse_sheet(f'{HEADER}\nr3,"oops,a.png\nr4,plain,b.png\n{later}\n')
    assert [record.fields[0] for record in parsed.records] == ["r3", "r4", "r5"]
    assert [(p.line, p.code) for p in parsed.problems] == [(2, Code.QUOTE_UNTERMINATED)]


def test_a_swallowing_cell_of_the_wrong_width_is_an_open_quote() -> None:
    """A quote that happens to close lines later, leaving too few cells, is reported where it opened."""
    parsed = parse_sheet(f'{HEADER}\nr3,"oops,a.png\nr4,plain,b.png\nr5,x",c.png,d\nr6,x,y\n')
    assert [p.code for p in parsed.problems if p.line == 2] == [Code.QUOTE_UNTERMINATED]
    assert [record.line for record in parsed.records] == [2, 3, 4, 5]


def test_a_well_formed_cell_that_holds_lines_like_rows_is_kept_and_pointed_at() -> None:
    """What the rules of CSV allow is read as they say, and the report asks for a second look."""
    parsed = parse_sheet(f'{HEADER}\nr1,"one\ntwo,three,four\nfive",a.png\n')
    assert parsed.records[0].fields == ("r1", "one\ntwo,three,four\nfive", "a.png")
    assert any("line 2: a quoted cell" in sentence and "line 3" in sentence for sentence in parsed.assumed)


def test_an_open_quote_in_the_last_row_takes_the_rest() -> None:
    """With no row behind it, the broken record reaches to the end of the file."""
    data = f'{HEADER}\nr1,x,a.png\nr2,"first\nsecond'
    parsed = parse_sheet(data)
    assert [(p.line, p.column, p.code) for p in parsed.problems] == [(3, "prompt", Code.QUOTE_UNTERMINATED)]
    last = parsed.records[-1]
    assert data.encode()[last.byte_start : last.byte_end] == b'r2,"first\nsecond'


@pytest.mark.parametrize(
    ("row", "cell"),
    [('r1,"abc"def,a.png', "abcdef"), ('r1,"abc" ,a.png', "abc "), ('r1, "abc, d",a.png', "abc, d")],
)
def test_misplaced_quotes_are_reported_and_the_cells_kept_apart(row: str, cell: str) -> None:
    """Text outside a cell's quotes is an error, but does not shift the other cells."""
    parsed = parse_sheet(f"{HEADER}\n{row}\nr2,x,b.png\n")
    assert [(p.line, p.column, p.code) for p in parsed.problems] == [(2, "prompt", Code.QUOTE_MISPLACED)]
    assert parsed.records[0].fields == ("r1", cell, "a.png")


def test_a_misplaced_quote_after_a_line_break_stays_one_record() -> None:
    """A cell over two lines with text behind its quote is one bad row, not two."""
    parsed = parse_sheet(f'{HEADER}\nr1,"one\ntwo" oops,a.png\nr2,x,b.png\n')
    assert [(p.line, p.code) for p in parsed.problems] == [(2, Code.QUOTE_MISPLACED)]
    assert [record.line for record in parsed.records] == [2, 4]


def test_a_quote_inside_an_unquoted_cell_is_only_a_quote() -> None:
    """Inches need no escaping."""
    parsed = parse_sheet(f'{HEADER}\nr1,a 6" man,a.png\n')
    assert parsed.records[0].fields[1] == 'a 6" man'
    assert not parsed.problems


@pytest.mark.parametrize(("row", "cells"), [("r1,x", 2), ("r1,x,a.png,b", 4), ('r1,"a\nb",c,d,e', 5)])
def test_a_row_of_another_width_is_ragged_and_says_both_counts(row: str, cells: int) -> None:
    """Too few and too many cells are an error of their row alone."""
    parsed = parse_sheet(f"{HEADER}\n{row}\nr2,x,b.png\n")
    (problem,) = parsed.problems
    assert (problem.line, problem.row_id, problem.code) == (2, "r1", Code.ROW_RAGGED)
    assert f"{cells} cells, the header 3 columns" in problem.message
    assert parsed.records[-1].fields == ("r2", "x", "b.png")


def test_a_cell_beyond_the_limit_is_named_with_its_length() -> None:
    """Cells longer than Python's own limit of 131,072 characters are read and reported, too."""
    check = check_sheet(f"{HEADER},notes\nr1,x,a.png,{'n' * 140_000}\nr2,x,b.png,\n")
    assert found(check) == [(2, "notes", Code.CELL_TOO_LONG)]
    assert "140,000" in check.problems[0].message


def test_a_long_cell_of_many_lines_is_one_record() -> None:
    """A quoted cell may go over more lines than the fast path follows."""
    story = "\n".join(f"line {n}" for n in range(500))
    parsed = parse_sheet(f'{HEADER},notes\nr1,x,a.png,"{story}"\nr2,x,b.png,\n')
    assert parsed.records[0].fields[3] == story
    assert parsed.records[1].line == 502
    assert not parsed.problems


def test_blank_rows_are_skipped_and_counted() -> None:
    """Blank lines and rows of nothing but delimiters are no rows."""
    parsed = parse_sheet(f"\n{HEADER}\n\nr1,x,a.png\n,,\n  \nr2,x,b.png\n , ,\n")
    assert [(record.line, record.position) for record in parsed.records] == [(4, 0), (7, 1)]
    assert "2 rows without any text skipped" in parsed.assumed


def test_only_lf_cr_and_crlf_end_a_line() -> None:
    """Form feeds and Unicode's line separators are characters of a cell."""
    text = "a\x0bb\x0cc\x1cd\x85e\u2028f"
    assert parse_sheet(f"{HEADER}\nr1,{text},a.png\n").records[0].fields[1] == text


def test_a_broken_file_takes_linear_time() -> None:
    """Twice as many broken rows take about twice as long, for every known way to break them."""
    for line in ('r,"x', 'o","x', 'o","x\na,b""c,d', "r,x", 'r,"x"y,z', ',"', 'a,"""', ',x a ", "\n,,x""a'):

        def seconds(rows: int, line: str = line) -> float:
            data = f"{HEADER}\n" + f"{line}\n" * rows
            # The quickest of three: a collection of what other tests left behind would be counted in.
            taken = []
            for _ in range(3):
                start = time.process_time()
                parse_sheet(data)
                taken.append(time.process_time() - start)
            return min(taken)

        seconds(100)
        assert seconds(8_000) < 12 * seconds(2_000) + 0.2, line


cell_text = st.text(st.sampled_from('ab ,;|\t"\n\r\x0b\u2028é😀\u200f='), max_size=8)


@st.composite
def sheets(draw: st.DrawFn) -> tuple[list[list[str]], str, str, str, bool]:
    width = draw(st.integers(2, 5))
    rows = draw(st.lists(st.lists(cell_text, min_size=width, max_size=width), min_size=1, max_size=8))
    rows = [[f"r{n}", *row[1:]] for n, row in enumerate(rows)]
    delimiter = draw(st.sampled_from(",;\t|"))
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"]))
    quoting = draw(st.booleans())
    return rows, delimiter, line_end, encoding, quoting


@given(sheets())
@settings(max_examples=300, deadline=None)
def test_well_formed_sheets_come_back_cell_by_cell(
    sheet: tuple[list[list[str]], str, str, str, bool],
) -> None:
    """Encoding, delimiter, line end and quoting change nothing of the cells; byte ranges give back each record."""
    rows, delimiter, line_end, encoding, quoting = sheet
    header = ["row_id", "prompt", "image", "audio", "notes"][: len(rows[0])]
    out = io.StringIO()
    writer = csv.writer(
        out, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL if quoting else csv.QUOTE_MINIMAL
    )
    raw = []
    for cells in [header, *rows]:
        out.seek(0)
        out.truncate()
        # Left to itself, Python's writer puts no quotes around a lone CR and around a blank before a quote.
        if any(cell.startswith(" ") or "\r" in cell or "\n" in cell for cell in cells):
            csv.writer(out, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerow(cells)
        else:
            writer.writerow(cells)
        raw.append(out.getvalue())
    bom = {"utf-8": b"", "utf-8-sig": codecs.BOM_UTF8}.get(encoding)
    bom = bom if bom is not None else "\ufeff".encode(encoding)
    data = bom + "".join(raw).encode("utf-8" if encoding == "utf-8-sig" else encoding)
    parsed = parse_sheet(data)
    assert (parsed.encoding, parsed.delimiter, parsed.line_end) == (encoding, delimiter, line_end)
    assert not parsed.problems
    assert [list(record.fields) for record in parsed.records] == rows
    pieces = [decode_part(data[r.byte_start : r.byte_end], encoding) for r in parsed.records]
    assert pieces == [piece.removesuffix(line_end) for piece in raw[1:]]


def answer_to(data: bytes) -> ManifestCheck | InvalidManifest:
    try:
        return check_sheet(data)
    except InvalidManifest as refusal:
        return refusal


@given(st.binary(max_size=200), st.sampled_from([b"", b"row_id,prompt,image\n", b"\xff\xfe", b"\xef\xbb\xbf"]))
@settings(max_examples=500, deadline=None)
def test_no_bytes_raise_anything_but_a_refusal(noise: bytes, head: bytes) -> None:
    """Whatever the file holds, the answer is problems of rows or InvalidManifest with problems."""
    data = head + noise
    answer = answer_to(data)
    if isinstance(answer, InvalidManifest):
        assert answer.problems
        assert answer.fix
        return
    assert [row.position for row in answer.rows] == list(range(len(answer.rows)))
    for row in answer.rows:
        assert 0 <= row.byte_start <= row.byte_end <= len(data)


@given(st.lists(st.sampled_from([*'",\n\r ax', '""', "r1,x,a.png\n", 'r2,"', '",b.png\n']), max_size=40))
@settings(max_examples=500, deadline=None)
def test_records_never_overlap_and_never_lose_text(pieces: list[str]) -> None:
    """However quotes are broken, every character that is no blank or delimiter lies in exactly one record."""
    data = f"{HEADER}\n{''.join(pieces)}"
    try:
        parsed = parse_sheet(data)
    except InvalidManifest:
        return
    at = parsed.header_bytes[1]
    for record in parsed.records:
        assert not data[at : record.byte_start].strip(' ,\r\n"')
        at = record.byte_end
    assert not data[at:].strip(' ,\r\n"')
