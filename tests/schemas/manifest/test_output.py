"""Records of results.csv: the input's bytes, then our cells."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.manifest.columns import BASE, RESULT_COLUMNS, trailing_result_columns
from schemas.manifest.encoding import byte_order_mark, encode
from schemas.manifest.output import appended_header, appended_record, escape_formula, header_bytes, quote_cell
from schemas.manifest.parse import ParsedManifest
from tests.support.sheets import check_sheet, parse_sheet

ROW = ("failed", "", "", "3.88", "42", "3", "-1.5", "AUDIO_SILENT", 'the file "a; b", says\n=nothing')


def results(data: bytes, parsed: ParsedManifest, cells: tuple[str, ...] = ROW) -> bytes:
    """A whole results.csv with the same cells in every row."""
    form = (parsed.encoding, parsed.delimiter, parsed.line_end)
    start, end = parsed.header_bytes
    out = [appended_header(data[start:end], RESULT_COLUMNS, *form, columns=parsed.columns)]
    for record in parsed.records:
        raw = data[record.byte_start : record.byte_end]
        out.append(appended_record(raw, cells, *form, columns=parsed.columns))
    return b"".join(out)


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=cmd|'/c calc'!A0", "'=cmd|'/c calc'!A0"),
        ("+1+1", "'+1+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("-1.5", "-1.5"),
        ("+3", "+3"),
        ("-", "'-"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_cells_that_a_spreadsheet_would_run_get_an_apostrophe(cell: str, written: str) -> None:
    """CWE-1236: only plain numbers may begin with a sign; escaping twice changes nothing."""
    assert escape_formula(cell) == written
    assert escape_formula(written) == written


@given(st.text(max_size=30), st.sampled_from(",;\t|"))
def test_a_quoted_cell_is_read_back_by_anybody(cell: str, delimiter: str) -> None:
    """Python's strict reader gives the cell back, alone and between others."""
    line = delimiter.join(["x", quote_cell(cell, delimiter), "y"])
    assert list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True)) == [["x", cell, "y"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_results_are_the_input_and_our_cells(encoding: str, delimiter: str, line_end: str) -> None:
    """Byte for byte the input's records in its own encoding, and readable as a manifest with our columns behind."""
    lines = [["row_id", "prompt", "image"], ["r1", '"é ""x"""', "a.png"], ["r2", "=1+1", "b.png"]]
    text = line_end.join(delimiter.join(cells) for cells in lines)
    data = byte_order_mark(encoding) + encode(text, encoding)
    parsed = parse_sheet(data)
    out = results(data, parsed)
    again = parse_sheet(out)
    assert (again.encoding, again.delimiter, again.line_end) == (parsed.encoding, parsed.delimiter, parsed.line_end)
    assert again.columns == (*parsed.columns, *RESULT_COLUMNS)
    for before, after in zip(parsed.records, again.records, strict=True):
        assert after.fields == (*before.fields, *ROW)
        raw = data[before.byte_start : before.byte_end]
        assert out[after.byte_start : after.byte_end].startswith(raw)


def test_characters_that_the_encoding_lacks_are_written_visibly() -> None:
    """Nothing is dropped without a trace."""
    assert appended_record(b"r1", ["\u010d"], "cp1252", ",", "\n") == b"r1,\\u010d\n"
    assert appended_record(b"r1", ["\ud800"], "utf-8", ",", "\n") == b"r1,\\ud800\n"


def test_results_submitted_again_do_not_pile_up_columns() -> None:
    """Our columns at the end of the input are left off before new ones are added; the author's bytes stay."""
    first = b'row_id,prompt,image,note\r\nr1,"a ""b""",a.png,\r\nr2,x,b.png,"n,\r\n"\r\n'
    once = results(first, parse_sheet(first))
    twice = results(once, parse_sheet(once), ("published", *ROW[1:]))
    assert twice == once.replace(b"failed", b"published")
    check = check_sheet(once)
    assert not check.problems


def test_base_at_the_end_is_ours_too() -> None:
    """failed.csv carries _base behind the author's columns; columns of ours further left are left alone."""
    assert trailing_result_columns(["row_id", "prompt", BASE, *RESULT_COLUMNS]) == 10
    assert trailing_result_columns(["row_id", "prompt", *RESULT_COLUMNS, BASE]) == 10
    assert trailing_result_columns(["row_id", "_status", "prompt", "_note"]) == 0
    raw = appended_record(
        b"r1,x,s3://b,failed", ["ok"], "utf-8", ",", "\n", columns=("row_id", "prompt", BASE, "_status")
    )
    assert raw == b"r1,x,ok\n"


@pytest.mark.parametrize(
    ("broken", "repaired"),
    [
        (b'r1,"x,a.png', b'r1,"x,a.png",,failed'),
        (b'r1,"x""', b'r1,"x""",,failed'),
        (b"r1,x", b"r1,x,,failed"),
        (b"r1,x,y,z", b"r1,x,y,z,failed"),
        (b'r1,"x"y,z', b'r1,"x"y,z,failed'),
    ],
)
def test_a_broken_record_does_not_spoil_the_file_it_is_copied_to(broken: bytes, repaired: bytes) -> None:
    """An open quote is closed and missing cells are added behind the input's bytes: our cells stand in place."""
    columns = ("row_id", "prompt", "image")
    assert appended_record(broken, ["failed"], "utf-8", ",", "\n", columns=columns) == repaired + b"\n"


def test_a_sheet_with_an_open_quote_gives_results_with_as_many_rows() -> None:
    """ok + failed + not run = input, also for those who read results.csv with another program."""
    data = b'row_id,prompt,image\nr1,x,a.png\nr2,"x,a.png\nr3,x,a.png\nr4,x,a.png\n'
    out = results(data, parse_sheet(data), ("s",) * len(RESULT_COLUMNS))
    rows = list(csv.reader(io.StringIO(out.decode(), newline=""), strict=True))
    assert [row[0] for row in rows] == ["row_id", "r1", "r2", "r3", "r4"]
    assert {len(row) for row in rows} == {3 + len(RESULT_COLUMNS)}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("above", ["", "\r\n", "sep=;\r\n"])
def test_the_header_is_found_again_in_the_stored_bytes(encoding: str, above: str) -> None:
    """Encoding and delimiter are all that must be known; names may go over lines."""
    text = f'{above}row_id;prompt;"caf\u00e9\r\nnote"\r\nr1;\u00e9;\r\n'
    data = byte_order_mark(encoding) + encode(text, encoding)
    parsed = parse_sheet(data)
    start, end = parsed.header_bytes
    assert header_bytes(data, parsed.encoding, parsed.delimiter) == data[start:end]
    assert data[start:end] == encode('row_id;prompt;"caf\u00e9\r\nnote"', encoding)
