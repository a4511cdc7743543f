"""The file as a whole: delimiter, header, limits, what was assumed."""

import pytest

from schemas.errors import InvalidInput, InvalidManifest
from schemas.manifest.columns import COLUMNS, meant_column, parse_mapping
from schemas.problem import Code, RowProblem
from schemas.settings import Limits
from tests.support.sheets import check_sheet, found, parse_sheet


def refused(data: str | bytes, **arguments: object) -> tuple[RowProblem, ...]:
    with pytest.raises(InvalidManifest) as error:
        parse_sheet(data, **arguments)  # type: ignore[arg-type]  # one helper for all of its keywords
    return error.value.problems


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_delimiter_and_line_end_are_read_off_the_header(delimiter: str, line_end: str) -> None:
    """Known column names tell the delimiter, even where a cell is full of another."""
    lines = [["row_id", "prompt", "a, b, c, d; e"], ["r1", "x", "1"]]
    quoted = [[f'"{cell}"' for cell in cells] for cells in lines]
    parsed = parse_sheet(line_end.join(delimiter.join(cells) for cells in quoted))
    assert (parsed.delimiter, parsed.line_end) == (delimiter, line_end)
    assert parsed.records[0].fields == ("r1", "x", "1")


def test_a_given_delimiter_decides() -> None:
    """--delimiter wins over what the header seems to say."""
    parsed = parse_sheet("row_id;prompt;a,b,c,d\nr1;x;y\n", delimiter=";")
    assert parsed.columns == ("row_id", "prompt", "a,b,c,d")
    (problem,) = refused("row_id:prompt\n", delimiter=":")
    assert problem.code is Code.DELIMITER_UNKNOWN


def test_the_line_that_spreadsheets_write_first_names_the_delimiter() -> None:
    """`sep=;` is no header."""
    parsed = parse_sheet("sep=;\r\nrow_id;prompt\r\nr1;x\r\n")
    assert (parsed.delimiter, parsed.records[0].line) == (";", 3)
    assert any("sep=" in sentence for sentence in parsed.assumed)


def test_a_manifest_without_a_last_line_end_still_has_one_to_write() -> None:
    """Lines of ours need an end even if the sheet is a single unfinished line."""
    assert parse_sheet("row_id,prompt\rr1,x").line_end == "\r"


@pytest.mark.parametrize(
    ("header", "codes"),
    [
        ("row_id prompt image", [Code.DELIMITER_UNKNOWN]),
        ("r1,A man speaks,face.png", [Code.HEADER_MISSING]),
        ("row_id,prompt,,image,", [Code.HEADER_EMPTY, Code.HEADER_EMPTY]),
        ("row_id,prompt,notes,notes", [Code.HEADER_DUPLICATE]),
        ("row_id,prompt,_base,_base", [Code.HEADER_DUPLICATE]),
        ("prompt,image", [Code.COLUMN_MISSING]),
        ("ID,Prompt,image,image,", [Code.HEADER_EMPTY, Code.HEADER_DUPLICATE, *[Code.COLUMN_MISSING] * 2]),
        ('row_id,"prompt,image', [Code.QUOTE_UNTERMINATED]),
        ('row_id,"prompt" x,image', [Code.QUOTE_MISPLACED]),
        (",".join(["row_id", "prompt", *(f"c{n}" for n in range(2_000))]), [Code.HEADER_MISSING]),
    ],
)
def test_every_problem_of_a_header_is_reported_at_once(header: str, codes: list[Code]) -> None:
    """Without a sound header no row can be read: the refusal names all that is wrong with it, on its line."""
    problems = refused(f"{header}\nr1,x,y\n")
    assert [problem.code for problem in problems] == codes
    assert {problem.line for problem in problems} == {1}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Prompt", "prompt"),
        (" prompt", "prompt"),
        ("\ufeffrow_id", "row_id"),
        ("Row ID", "row_id"),
        ("promt", "prompt"),
        ("text", "prompt"),
        ("image_path", "image"),
        ("photo_url", "image"),
        ("Audio File", "audio"),
        ("voice", "audio"),
        ("not-before", "not_before"),
        ("notes", None),
        ("city", None),
        ("x" * 1000, None),
    ],
)
def test_near_misses_are_recognised(written: str, meant: str | None) -> None:
    """What was probably meant is suggested; a column of the author's own is left in peace."""
    assert meant_column(written) == meant


def test_a_missing_column_names_the_one_that_looks_like_it() -> None:
    """The fix can be copied."""
    (problem,) = refused("row_id,Text\nr1,x\n")
    assert "did you mean 'Text'?" in problem.message
    assert problem.fix == 'rename the column to prompt, or use --map "Text=prompt"'


def test_a_column_that_only_looks_like_ours_is_passed_through_aloud() -> None:
    """`image_path` stays the author's column, and both the report and the rows without picture say so."""
    sheet = "row_id,prompt,image_path\nr1,x,a.png\n"
    assert any("'image_path' is passed through unread" in sentence for sentence in parse_sheet(sheet).assumed)
    (problem,) = check_sheet(sheet).problems
    assert problem.code is Code.MODE_UNKNOWN
    assert "rename the column 'image_path' to image" in problem.fix


def test_no_invisible_character_of_a_header_reaches_a_message() -> None:
    """Names of strangers are shown escaped wherever they are repeated."""
    for problem in refused("row_id,Prompt\u202e\x1b,foto\x1b\nr1,x,y\n", mapping={"photo": "image"}):
        assert problem.message.isprintable()
        assert problem.fix.isprintable()
    parsed = parse_sheet("row_id,prompt,image_path\u202e,_x\x1b\nr1,x,a.png,\n")
    assert all(sentence.isprintable() for sentence in parsed.assumed)


def test_columns_of_results_are_ignored_but_base_is_read() -> None:
    """A results file can be submitted: what callsheet wrote is not read again, even twice."""
    check = check_sheet("row_id,prompt,image,_status,_status,_base\nr1,x,a.png,failed,failed,s3://inbox/a\n")
    assert not check.problems
    assert check.rows[0].base == "s3://inbox/a"


def test_a_mapping_renames_columns() -> None:
    """Columns keep the author's names in the header and ours everywhere else."""
    parsed = parse_sheet("row_id,text,photo\nr1,x,a.png\n", mapping=parse_mapping("text=prompt, photo=image"))
    assert parsed.columns == ("row_id", "prompt", "image")
    assert parsed.header == ("row_id", "text", "photo")
    assert "columns read under another name: text as prompt, photo as image" in parsed.assumed


def test_a_mapping_that_does_not_fit_the_sheet_is_refused() -> None:
    """A mapped column must exist, and must not meet one of the same name."""
    (problem,) = refused("row_id,prompt,foto\nr1,x,y\n", mapping={"photo": "image"})
    assert (problem.code, problem.column) == (Code.COLUMN_UNKNOWN_MAP, "image")
    assert "did you mean foto?" in problem.message
    (problem,) = refused("row_id,prompt,text\nr1,x,y\n", mapping={"text": "prompt"})
    assert problem.code is Code.HEADER_DUPLICATE
    assert "mapped from 'text'" in problem.message


@pytest.mark.parametrize("text", ["text", "text=", "=prompt", "text=promt", "a=prompt,b=prompt", "a=prompt,a=image"])
def test_a_mapping_that_cannot_be_meant_is_refused(text: str) -> None:
    """The message says what a mapping looks like."""
    with pytest.raises(InvalidInput) as error:
        parse_mapping(text)
    assert error.value.fix


def test_a_mapping_suggests_the_column_that_was_meant() -> None:
    """Typing errors in our own names are recognised, too."""
    with pytest.raises(InvalidInput, match="did you mean prompt"):
        parse_mapping("text=promt")


def test_limits_of_the_file_are_refused_before_rows_are_read() -> None:
    """Bytes and rows have their limits; the row limit itself is still allowed."""
    sheet = "row_id,prompt,image\n" + "".join(f"r{n},x,a.png\n" for n in range(3))
    assert len(parse_sheet(sheet, limits=Limits(manifest_rows=3)).records) == 3
    assert refused(sheet, limits=Limits(manifest_rows=2))[0].code is Code.TOO_MANY_ROWS
    assert refused(sheet, limits=Limits(manifest_bytes=10))[0].code is Code.FILE_TOO_LARGE
    assert refused("row_id,prompt\n\n,\n")[0].code is Code.NO_ROWS


def test_what_was_assumed_is_said_in_sentences() -> None:
    """Encoding, delimiter and line ends are always said."""
    parsed = parse_sheet("row_id;prompt;_error\r\nr1;x;\nr2;y;\n")
    assert parsed.assumed == (
        "encoding: UTF-8",
        "delimiter: semicolon",
        "line ends: LF and CRLF",
        "columns ignored because callsheet writes them: _error",
    )


def test_problems_of_a_record_carry_its_id_where_it_can_be_read() -> None:
    """A ragged row is still called by its name."""
    check = check_sheet("prompt,row_id,image\nx,r1\nx\n")
    assert found(check) == [(2, "", Code.ROW_RAGGED), (3, "", Code.ROW_RAGGED)]
    assert [problem.row_id for problem in check.problems] == ["r1", ""]
    assert [row.row_id for row in check.rows] == ["r1", "_line-3"]


def test_our_columns_are_those_of_the_contract() -> None:
    """The list is closed."""
    assert COLUMNS == (
        "row_id", "prompt", "image", "audio", "video", "shot", "mode", "seed", "negative_prompt", "width", "height",
        "duration", "priority", "not_before", "consent_ref",
    )  # fmt: skip
