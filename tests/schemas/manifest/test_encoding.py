import codecs

import pytest

from schemas.errors import InvalidManifest
from schemas.manifest.encoding import decode, decode_part, encode
from schemas.problem import Code
from tests.support.sheets import check_sheet, found, parse_sheet

SHEET = "row_id,prompt,image\nr1,Café 😀,a.png\nr2,Plain,b.png\n"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (SHEET.encode(), "utf-8"),
        (codecs.BOM_UTF8 + SHEET.encode(), "utf-8-sig"),
        (codecs.BOM_UTF16_LE + SHEET.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + SHEET.encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_each_encoding_gives_the_same_cells_and_its_own_bytes(data: bytes, encoding: str) -> None:
    """The encoding is told by the bytes, and byte ranges count in the file's own bytes."""
    parsed = parse_sheet(data)
    assert parsed.encoding == encoding
    assert [record.fields for record in parsed.records] == [("r1", "Café 😀", "a.png"), ("r2", "Plain", "b.png")]
    raw = [decode_part(data[r.byte_start : r.byte_end], encoding) for r in parsed.records]
    assert raw == ["r1,Café 😀,a.png", "r2,Plain,b.png"]
    start, end = parsed.header_bytes
    assert decode_part(data[start:end], encoding) == "row_id,prompt,image"


def test_windows_1252_is_assumed_only_when_utf_8_fails_and_is_said_aloud() -> None:
    """Bytes that are no UTF-8 are read as Windows-1252, and the report says so."""
    parsed = parse_sheet("row_id,prompt\nr1,Café “so” €\n".encode("cp1252"))
    assert parsed.records[0].fields[1] == "Café “so” €"
    assert parsed.assumed[0] == "encoding: Windows-1252, because it is not UTF-8"


@pytest.mark.parametrize("byte", [0x81, 0x8D, 0x8F, 0x90, 0x9D])
def test_the_five_undefined_bytes_are_named_with_offset_and_line(byte: int) -> None:
    """A file that is neither UTF-8 nor Windows-1252 is refused with the place of the byte."""
    with pytest.raises(InvalidManifest) as error:
        parse_sheet(b"row_id,prompt\r\nr1,caf\xe9 " + bytes([byte]) + b"\r\n")
    (problem,) = error.value.problems
    assert (problem.code, problem.line) == (Code.ENCODING_INVALID, 2)
    assert f"0x{byte:02X} at offset 23" in problem.message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.FILE_EMPTY),
        (b" \r\n\n", Code.FILE_EMPTY),
        (codecs.BOM_UTF8, Code.FILE_EMPTY),
        (codecs.BOM_UTF16_LE, Code.FILE_EMPTY),
        (b"PK\x03\x04\x14\x00\x06\x00", Code.FILE_NOT_TEXT),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", Code.FILE_NOT_TEXT),
        (b"%PDF-1.7\n", Code.FILE_NOT_TEXT),
        (b"<!DOCTYPE html><html>", Code.FILE_NOT_TEXT),
        (bytes(range(256)) + bytes(100), Code.FILE_NOT_TEXT),
        ("row_id,prompt\nr1,x\n".encode("utf-16-le"), Code.ENCODING_INVALID),
        ("row_id,prompt\nr1,x\n".encode("utf-32"), Code.ENCODING_INVALID),
        (codecs.BOM_UTF16_LE + "row_id,prompt\nr1,x\n".encode("utf-16-le")[:-1], Code.ENCODING_INVALID),
    ],
)
def test_what_is_no_text_is_refused_with_what_it_is(data: bytes, code: Code) -> None:
    """A file that holds no rows at all is refused once, with how to mend it."""
    with pytest.raises(InvalidManifest) as error:
        parse_sheet(data)
    assert [problem.code for problem in error.value.problems] == [code]
    assert error.value.fix


def test_a_spreadsheet_is_told_to_be_saved_as_csv() -> None:
    """The fix names the step that the author has to take."""
    with pytest.raises(InvalidManifest, match="spreadsheet") as error:
        parse_sheet(b"PK\x03\x04")
    assert error.value.fix == "save the sheet as CSV UTF-8"


def test_a_damaged_byte_in_a_utf_8_file_spoils_its_own_row_only() -> None:
    """One bad byte among good UTF-8 does not turn the other rows into mojibake."""
    data = "row_id,prompt,image\nr1,Žena mluví,a.png\nr2,caf".encode() + b"\xe9" + b",b.png\nr3,x,c.png\n"
    check = check_sheet(data)
    assert found(check) == [(3, "prompt", Code.ENCODING_INVALID)]
    assert check.rows[0].prompt == "Žena mluví"
    offset = data.index(b"\xe9,b.png")
    assert f"byte 0xE9 is no UTF-8 at byte offset {offset}" in check.problems[0].message


def test_lone_surrogates_are_found_in_both_unicode_encodings() -> None:
    """Half a character is a problem of its row, at its byte offset."""
    utf16 = codecs.BOM_UTF16_LE + "row_id,prompt,image\nr1,a\ud800b,a.png\n".encode("utf-16-le", "surrogatepass")
    utf8 = "row_id,prompt,image\nr1,a\ud800b,a.png\n".encode("utf-8", "surrogatepass")
    for data, offset in ((utf16, utf16.index(b"\x00\xd8")), (utf8, utf8.index(b"\xed\xa0"))):
        check = check_sheet(data)
        assert {problem.code for problem in check.problems} == {Code.ENCODING_INVALID}
        assert f"byte offset {offset}" in check.problems[0].message
        start, end = check.rows[0].byte_start, check.rows[0].byte_end
        assert data[start:end].startswith((b"r1,a", b"r\x001\x00"))


def test_a_nul_is_a_problem_of_its_cell() -> None:
    """NULs do not pass silently through the reader of CSV."""
    check = check_sheet("row_id,prompt,image\nr1,a\0b\0c,a.png\nr2,x,b\0.png\n")
    assert found(check) == [(2, "prompt", Code.NUL_BYTE), (3, "image", Code.NUL_BYTE)]
    assert "byte offset 24" in check.problems[0].message


def test_decoding_loses_nothing_even_of_damaged_text() -> None:
    """Encoding what was decoded gives the same bytes."""
    for data in (b"caf\xe9 \xc3\xa9\xc3\xa9 \xff\xed\xa0\x80", b"\xff\xfe" + b"a\x00\x00\xd8b\x00\x00\xdc"):
        decoded = decode(data)
        assert encode(decoded.text, decoded.encoding) == data[decoded.bom_bytes :]
