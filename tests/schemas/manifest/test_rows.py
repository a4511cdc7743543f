"""Cells to values: one table of what is wrong, one of what is right, and rows beside their siblings."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from schemas.campaign import CampaignSettings
from schemas.manifest.rows import ManifestRow
from schemas.mode import Mode
from schemas.model_spec import HUMO_17B
from schemas.problem import Code, RowProblem
from schemas.settings import Limits
from tests.support.sheets import check_sheet, found, one_row

NO_IMAGE = {"image": "", "audio": ""}

BAD: list[tuple[dict[str, str], str, Code, str]] = [
    # cells, column, code, a piece of the message
    ({"row_id": ""}, "row_id", Code.ROW_ID_MISSING, "empty"),
    ({"row_id": "a b"}, "row_id", Code.ROW_ID_INVALID, "'a b': expected 1 to 64"),
    ({"row_id": "ä"}, "row_id", Code.ROW_ID_INVALID, "'ä'"),
    ({"row_id": "x" * 65}, "row_id", Code.ROW_ID_INVALID, "(65 characters)"),
    ({"row_id": ".."}, "row_id", Code.ROW_ID_INVALID, "'..'"),
    ({"row_id": "../etc"}, "row_id", Code.ROW_ID_INVALID, "'../etc'"),
    ({"row_id": "_line-7"}, "row_id", Code.ROW_ID_INVALID, "callsheet's own"),
    ({"row_id": "1.5E+10"}, "row_id", Code.ROW_ID_INVALID, "spreadsheet"),
    ({"row_id": "#####"}, "row_id", Code.ROW_ID_INVALID, "spreadsheet"),
    ({"row_id": "a\u200bb"}, "row_id", Code.ROW_ID_INVALID, "'a\\u200bb'"),
    ({"row_id": "a\u202eb"}, "row_id", Code.TEXT_CONTROL_CHARACTER, "U+202E"),
    ({"prompt": ""}, "prompt", Code.PROMPT_MISSING, "prompt is empty"),
    ({"prompt": ' "_" '}, "prompt", Code.PROMPT_MISSING, "no text"),
    ({"prompt": "#NAME?"}, "prompt", Code.PROMPT_MISSING, "formula"),
    ({"prompt": "x" * 4001}, "prompt", Code.PROMPT_TOO_LONG, "4,001"),
    ({"prompt": "a\x07b"}, "prompt", Code.TEXT_CONTROL_CHARACTER, "'a\\u0007b' holds"),
    ({"prompt": "a {{nome}}", "name": "x"}, "prompt", Code.PLACEHOLDER_UNKNOWN, "did you mean {{name}}?"),
    ({"prompt": "a {{_status}}", "_status": "x"}, "prompt", Code.PLACEHOLDER_UNKNOWN, "_status"),
    ({"prompt": "a {{name"}, "prompt", Code.PLACEHOLDER_MALFORMED, "{{name"),
    ({"prompt": "a {{}}"}, "prompt", Code.PLACEHOLDER_MALFORMED, "{{}}"),
    ({"prompt": "a }} b"}, "prompt", Code.PLACEHOLDER_MALFORMED, "}}"),
    ({"prompt": "{{prompt}}"}, "prompt", Code.PLACEHOLDER_MALFORMED, "once only"),
    ({"negative_prompt": "no {{x}}"}, "negative_prompt", Code.PLACEHOLDER_UNKNOWN, "{{x}}"),
    ({"negative_prompt": "x" * 4001}, "negative_prompt", Code.PROMPT_TOO_LONG, "4,001"),
    ({"mode": "TAI"}, "mode", Code.MODE_UNKNOWN, "'TAI' is unknown; expected TIA, TA, TI"),
    (NO_IMAGE, "mode", Code.MODE_UNKNOWN, "image and audio are both empty"),
    ({"mode": "TIA"}, "audio", Code.MODE_MISMATCH, "needs audio, but audio is empty"),
    ({"mode": "TA", "audio": "a.wav"}, "image", Code.MODE_MISMATCH, "takes no image, but image is filled"),
    ({"mode": "TI", "image": "", "audio": "a.wav"}, "image", Code.MODE_MISMATCH, "takes no audio"),
    ({"mode": "TIA", **NO_IMAGE}, "image", Code.MODE_MISMATCH, "needs image"),
    ({"seed": "-1"}, "seed", Code.SEED_INVALID, "0 to 9223372036854775807"),
    ({"seed": str(2**63)}, "seed", Code.SEED_INVALID, "out of range"),
    ({"seed": "9" * 30}, "seed", Code.SEED_INVALID, "out of range"),
    ({"seed": "1e3"}, "seed", Code.SEED_INVALID, "spreadsheet"),
    ({"seed": "1,2E+18"}, "seed", Code.SEED_INVALID, "spreadsheet"),
    ({"seed": "42.0"}, "seed", Code.SEED_INVALID, "spreadsheet"),
    ({"seed": "1,000"}, "seed", Code.SEED_INVALID, "spreadsheet"),
    ({"seed": "#REF!"}, "seed", Code.SEED_INVALID, "spreadsheet"),
    ({"seed": "٤٢"}, "seed", Code.SEED_INVALID, "not a whole number"),
    ({"seed": "0x10"}, "seed", Code.SEED_INVALID, "not a whole number"),
    ({"width": "832", "height": ""}, "height", Code.SIZE_INVALID, "height is empty"),
    ({"width": "", "height": "480"}, "width", Code.SIZE_INVALID, "width is empty"),
    ({"width": "832px", "height": "480"}, "width", Code.SIZE_INVALID, "not a whole number"),
    ({"width": "832", "height": "0"}, "height", Code.SIZE_INVALID, "out of range"),
    ({"width": "833", "height": "480"}, "width", Code.SIZE_UNSUPPORTED, "multiple of 16"),
    ({"width": "4096", "height": "2160"}, "width", Code.SIZE_UNSUPPORTED, "outside"),
    ({"duration": "0"}, "duration", Code.DURATION_INVALID, "more than 0"),
    ({"duration": "601"}, "duration", Code.DURATION_INVALID, "at most 600"),
    ({"duration": "3,5"}, "duration", Code.DURATION_INVALID, "decimal comma"),
    ({"duration": "4 s"}, "duration", Code.DURATION_INVALID, "not a number"),
    ({"duration": "nan"}, "duration", Code.DURATION_INVALID, "not a number"),
    ({"duration": "3.May"}, "duration", Code.DURATION_INVALID, "spreadsheet"),
    ({"duration": "4", "audio": "a.wav"}, "duration", Code.DURATION_WITH_AUDIO, "as long as its speech"),
    ({"priority": "high"}, "priority", Code.PRIORITY_INVALID, "'high'"),
    ({"priority": "1001"}, "priority", Code.PRIORITY_INVALID, "-1000 to 1000"),
    ({"not_before": "2031-05-17T08:00"}, "not_before", Code.NOT_BEFORE_INVALID, "no time zone"),
    ({"not_before": "17.5.2031"}, "not_before", Code.NOT_BEFORE_INVALID, "not an ISO 8601"),
    ({"not_before": "47985.25"}, "not_before", Code.NOT_BEFORE_INVALID, "serial number"),
    ({"not_before": "0001-01-01T00:00+14:00"}, "not_before", Code.NOT_BEFORE_INVALID, "2000 and 2199"),
    ({"shot": "first"}, "shot", Code.SHOT_INVALID, "'first'"),
    ({"shot": "1-Mar"}, "shot", Code.SHOT_INVALID, "spreadsheet"),
    ({"video": "a/b"}, "video", Code.VIDEO_INVALID, "'a/b'"),
    ({"video": ".."}, "video", Code.VIDEO_INVALID, "'..'"),
    ({"video": "a\nb"}, "video", Code.TEXT_CONTROL_CHARACTER, "'a\\nb'"),
    ({"image": "a\u202egnp.exe"}, "image", Code.TEXT_CONTROL_CHARACTER, "U+202E"),
    ({"image": "a\tb.png"}, "image", Code.TEXT_CONTROL_CHARACTER, "U+0009"),
    ({"image": "#REF!"}, "image", Code.REFERENCE_MISSING, "formula"),
    ({"audio": "a\x1b.wav"}, "audio", Code.TEXT_CONTROL_CHARACTER, "U+001B"),
    ({"consent_ref": "a\u2066b"}, "consent_ref", Code.TEXT_CONTROL_CHARACTER, "U+2066"),
    ({"_base": "a\nb"}, "_base", Code.TEXT_CONTROL_CHARACTER, "U+000A"),
    ({"image": "|".join(f"{n}.png" for n in range(13))}, "image", Code.REFERENCES_TOO_MANY, "13 pictures"),
    ({"audio": "a.wav|b.wav"}, "audio", Code.REFERENCES_TOO_MANY, "2 files"),
]


@pytest.mark.parametrize(("cells", "column", "code", "message"), BAD)
def test_a_bad_cell_is_named_with_what_came(cells: dict[str, str], column: str, code: Code, message: str) -> None:
    """One bad cell gives one problem: its column, its code, what came, and how to mend it."""
    check = check_sheet(one_row(**cells))
    (problem,) = check.problems
    assert (problem.line, problem.column, problem.code) == (2, column, code)
    assert message in problem.message
    assert problem.fix
    assert problem.message.isprintable()
    assert check.rows[0].problems == check.problems


GOOD: list[tuple[dict[str, str], str, Any]] = [
    ({"row_id": " r.1-a_B "}, "row_id", "r.1-a_B"),
    ({"row_id": "-1"}, "row_id", "-1"),
    ({}, "video", "r1"),
    ({"video": "Ana no. 2"}, "video", "Ana no. 2"),
    ({"prompt": "-- she starts"}, "prompt", "-- she starts"),
    ({"prompt": "=1+1"}, "prompt", "=1+1"),
    ({"prompt": "אבג 👩\u200d🚀 e\u0301 \u202a dir \u202c"}, "prompt", "אבג 👩\u200d🚀 e\u0301 \u202a dir \u202c"),
    ({"prompt": "two\nlines\tand a tab"}, "prompt", "two\nlines\tand a tab"),
    ({"prompt": "x" * 4000}, "prompt", "x" * 4000),
    ({"negative_prompt": " blurred_text "}, "negative_prompt", "blurred_text"),
    ({"image": " a.png | b.png || "}, "images", ("a.png", "b.png")),
    ({"image": "a.png"}, "mode", Mode.TI),
    ({"audio": "a.wav"}, "mode", Mode.TIA),
    ({"image": "", "audio": "a.wav"}, "mode", Mode.TA),
    ({"mode": "ti"}, "mode", Mode.TI),
    ({"seed": "0"}, "seed", 0),
    ({"seed": str(2**63 - 1)}, "seed", 2**63 - 1),
    ({"seed": ""}, "seed", None),
    ({"width": "1280", "height": "720"}, "width", 1280),
    ({"duration": "3.88"}, "duration", 3.88),
    ({"priority": "-1000"}, "priority", -1000),
    ({"priority": "+3"}, "priority", 3),
    ({"shot": "-2"}, "shot_order", -2),
    ({"not_before": "2031-05-17T06:00:00Z"}, "not_before", datetime(2031, 5, 17, 6, tzinfo=UTC)),
    (
        {"not_before": "2031-05-17 08:00+02:00"},
        "not_before",
        datetime(2031, 5, 17, 8, tzinfo=timezone(timedelta(hours=2))),
    ),
    ({"consent_ref": "DOC 12/7"}, "consent_ref", "DOC 12/7"),
    ({"_base": "s3://inbox/x"}, "base", "s3://inbox/x"),
]


@pytest.mark.parametrize(("cells", "field", "value"), GOOD)
def test_a_good_cell_gives_its_value(cells: dict[str, str], field: str, value: object) -> None:
    """What the contract allows is read without a problem."""
    check = check_sheet(one_row(**cells))
    assert check.problems == ()
    assert getattr(check.rows[0], field) == value


def test_every_problem_of_a_row_is_found_and_its_good_cells_are_kept() -> None:
    """No problem hides another, and what can be read is read."""
    check = check_sheet(one_row(row_id="a b", prompt="{{x}} y", seed="1e3", width="5", priority="7", mode="no"))
    assert {problem.code for problem in check.problems} == {
        Code.ROW_ID_INVALID,
        Code.PLACEHOLDER_UNKNOWN,
        Code.SEED_INVALID,
        Code.SIZE_INVALID,
        Code.MODE_UNKNOWN,
    }
    (row,) = check.rows
    assert (row.row_id, row.video, row.priority, row.images) == ("_line-2", "_line-2", 7, ("face.png",))
    assert {problem.row_id for problem in check.problems} == {""}


def test_repeated_ids_are_reported_on_every_row_that_has_them() -> None:
    """Both rows are named and neither keeps the id; blanks around an id do not make another."""
    check = check_sheet("row_id,prompt,image\na,x,1.png\nb,x,1.png\n a ,x,1.png\n")
    assert found(check) == [(2, "row_id", Code.ROW_ID_DUPLICATE), (4, "row_id", Code.ROW_ID_DUPLICATE)]
    assert ["also on line 4" in check.problems[0].message, "also on line 2" in check.problems[1].message] == [True] * 2
    assert [row.row_id for row in check.rows] == ["_line-2", "b", "_line-4"]
    assert [problem.row_id for problem in check.problems] == ["a", "a"]


def test_an_id_repeated_a_thousand_times_is_said_briefly() -> None:
    """Messages stay short however often a mistake was made."""
    check = check_sheet("row_id,prompt,image,video,shot\n" + "a,x,1.png,v,1\n" * 1000)
    assert "lines 2, 3, 4 and 996 more" in check.problems[-1].message
    assert max(len(problem.message) for problem in check.problems) < 120


def test_modes_that_the_model_lacks_are_refused_however_they_were_chosen() -> None:
    """A stated mode and one read off the cells are asked of the model alike."""
    model = replace(HUMO_17B, modes=frozenset({Mode.TA}))
    for cells in ({}, {"mode": "TI"}):
        check = check_sheet(one_row(**cells), model=model)
        assert found(check) == [(2, "mode", Code.MODE_UNSUPPORTED)]


def test_limits_and_model_bound_the_number_of_pictures() -> None:
    """The stricter of the two holds."""
    two = one_row(image="a.png|b.png")
    assert found(check_sheet(two, limits=Limits(images_per_row=1))) == [(2, "image", Code.REFERENCES_TOO_MANY)]
    assert found(check_sheet(two, model=replace(HUMO_17B, max_references=1))) == [
        (2, "image", Code.REFERENCES_TOO_MANY)
    ]


def test_an_unsupported_size_suggests_one_that_works() -> None:
    """The fix names a size near the one asked for."""
    (problem,) = check_sheet(one_row(width="830", height="470")).problems
    assert problem.fix.endswith("832x464")


def test_a_campaign_size_that_the_model_lacks_is_a_problem_of_the_rows_that_take_it() -> None:
    """Rows with a size of their own are not touched by the campaign's."""
    sheet = "row_id,prompt,image,width,height\na,x,1.png,,\nb,x,1.png,832,480\n"
    check = check_sheet(sheet, settings=CampaignSettings(width=830, height=480))
    assert found(check) == [(2, "", Code.SIZE_UNSUPPORTED)]
    assert "campaign.toml" in check.problems[0].fix


VIDEO = "row_id,prompt,image,video,shot,width,height"


def test_shots_of_one_video_must_differ_in_number() -> None:
    """Equal numbers in different videos are no matter."""
    check = check_sheet(f"{VIDEO}\na,x,1.png,v,1,,\nb,x,1.png,w,1,,\nc,x,1.png,v,1,,\nd,x,1.png,v,,,\n")
    assert found(check) == [(2, "shot", Code.SHOT_DUPLICATE), (4, "shot", Code.SHOT_DUPLICATE)]


def test_shots_of_one_video_must_have_one_size() -> None:
    """Defaults count: a shot without a size has the campaign's."""
    check = check_sheet(f"{VIDEO}\na,x,1.png,v,,,\nb,x,1.png,v,,832,480\nc,x,1.png,v,,1280,720\nd,x,1.png,v,,bad,7\n")
    assert found(check) == [(4, "width", Code.VIDEO_SIZE_MIXED), (5, "width", Code.SIZE_INVALID)]


def test_a_video_may_not_be_called_like_another_rows_own_video() -> None:
    """Whether two rows were meant as one video is asked, not guessed."""
    check = check_sheet(f"{VIDEO}\nintro,x,1.png,,,,\nb,x,1.png,intro,,,\n")
    assert found(check) == [(3, "video", Code.VIDEO_INVALID)]
    assert "row_id of line 2" in check.problems[0].message
    assert not check_sheet(f"{VIDEO}\nintro,x,1.png,intro,,,\nb,x,1.png,intro,,,\n").problems


@pytest.mark.parametrize("broken", ["b,x,1.png,v", "b,x,y,1.png,v,,,", 'b,"x,1.png,v,2,,'])
def test_a_broken_row_holds_back_the_video_that_it_names(broken: str) -> None:
    """A shot whose cells cannot be told apart still counts for its video, so that none is published without it."""
    check = check_sheet(f"{VIDEO}\na,x,1.png,v,,,\n{broken}\nc,x,1.png,w,,,\n")
    assert [(row.row_id, row.video) for row in check.rows] == [("a", "v"), ("b", "v"), ("c", "w")]
    assert len(check.problems) == 1


def test_rows_keep_place_and_bytes() -> None:
    """Every record is a row, in order, with the line and bytes where it stands."""
    data = b'row_id,prompt,image\r\na,"x\r\ny",1.png\r\n\r\nb,,\r\n'
    rows = check_sheet(data).rows
    assert [(row.line, row.position) for row in rows] == [(2, 0), (5, 1)]
    assert [data[row.byte_start : row.byte_end] for row in rows] == [b'a,"x\r\ny",1.png', b"b,,"]


def test_problems_have_the_one_shape_of_every_report() -> None:
    """{row_id, line, column, code, message, fix}."""
    (problem,) = check_sheet(one_row(seed="x")).problems
    assert isinstance(problem, RowProblem)
    assert isinstance(check_sheet(one_row()).rows[0], ManifestRow)
    assert list(problem.as_dict()) == ["row_id", "line", "column", "code", "message", "fix"]
