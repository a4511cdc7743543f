from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.delivery import deliver
from flows.delivery.collect import collect
from flows.delivery.defaults import campaign_file
from flows.delivery.deliver import load_sheet
from flows.delivery.sheets import results
from schemas.campaign import CampaignSettings
from schemas.campaign_file import parse_campaign_file
from schemas.errors import Corrupted
from schemas.manifest.columns import RESULT_COLUMNS
from schemas.manifest.encoding import byte_order_mark, decode
from tests.support.campaigns import Stage

ROWS = [
    ["row_id", "prompt", "image", "seed", "note"],
    ["a-1", 'She says "now", then leaves', "a.png", "", " kept  blanks "],
    ["a-2", "Two lines\nof text; with ; and | and \t in it", "a.png", "7", "=1+1"],
    ["a-3", "Un caf\u00e9 \u00e0 c\u00f4t\u00e9 \u2013 10 \u20ac", "a.png", "-3", "-x"],
    ["a-4", "Plain", "a.png", "", ""],
]


def write_sheet(encoding: str, delimiter: str, line_end: str, *, last_line_end: bool = True) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=line_end).writerows(ROWS)
    whole = text.getvalue() if last_line_end else text.getvalue()[: -len(line_end)]
    codec = "utf-8" if encoding == "utf-8-sig" else encoding
    return byte_order_mark(encoding) + whole.encode(codec)


def read(data: bytes, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(decode(data).text, newline=""), delimiter=delimiter, strict=True))


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "cp1252"])
def test_every_field_of_the_input_is_copied_byte_for_byte(
    stage: Stage, tmp_path: Path, encoding: str, delimiter: str, line_end: str
) -> None:
    data = write_sheet(encoding, delimiter, line_end)
    campaign = stage.submit(data)
    stage.play(campaign, failing={"a-4": "no face"})
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    written = (tmp_path / "out" / "results.csv").read_bytes()
    # Taking our cells off again gives the very file that was submitted.
    mark = byte_order_mark(encoding)
    assert written.startswith(mark)
    end = line_end.encode(encoding if encoding.startswith("utf-16") else "ascii")
    records = [data[row.byte_start : row.byte_end] for row in stage.ledger.rows(campaign)]
    header = data[len(mark) : data.index(records[0]) - len(end)]
    rest = written[len(mark) :]
    for record in [header, *records]:
        assert rest.startswith(record)
        rest = rest[rest.index(end, len(record)) + len(end) :]
    assert rest == b""
    found = read(written, delimiter)
    assert [row[:5] for row in found] == ROWS
    assert found[0][5:] == list(RESULT_COLUMNS)
    assert [row[5] for row in found[1:]] == ["published", "published", "invalid", "failed"]


def test_a_sheet_without_a_last_line_end_and_with_a_separator_line_keeps_its_form(stage: Stage, tmp_path: Path) -> None:
    data = b"\xef\xbb\xbfsep=;\r\n" + write_sheet("utf-8", ";", "\r\n", last_line_end=False)
    campaign = stage.submit(data)
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    written = (tmp_path / "out" / "results.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbfsep=;\r\nrow_id;prompt;image;seed;note;_status")
    assert written.endswith(b"\r\n")
    assert [row[:5] for row in read(written, ";")[1:]] == ROWS


def test_results_say_what_became_of_every_row(each_stage: Stage, tmp_path: Path) -> None:
    campaign = each_stage.submit(write_sheet("utf-8", ",", "\n"))
    each_stage.play(campaign, failing={"a-4": "the picture holds no face"})
    deliver(each_stage.ledger, each_stage.store, campaign, tmp_path / "out")
    header, *rows = read((tmp_path / "out" / "results.csv").read_bytes(), ",")
    good, _, invalid, failed = (dict(zip(header, row, strict=True)) for row in rows)
    assert good["_status"] == "published"
    assert good["_video_url"] == "videos/a-1.mp4"
    assert (tmp_path / "out" / good["_video_url"]).is_file()
    assert (tmp_path / "out" / good["_poster_url"]).is_file()
    assert (good["_duration_s"], good["_attempts"], good["_gpu_s"]) == ("1.00", "1", "2.5")
    assert int(good["_seed"]) >= 0
    assert (good["_error_code"], good["_error"]) == ("", "")
    assert invalid["_status"] == "invalid"
    assert invalid["_error_code"] == "SEED_INVALID"
    assert "fix: " in invalid["_error"]
    assert (failed["_status"], failed["_video_url"], failed["_error_code"]) == ("failed", "", "BAD_INPUT")
    assert failed["_error"].startswith("the picture holds no face; fix: ")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\uff1d"])
def test_an_error_that_a_spreadsheet_would_run_is_escaped(stage: Stage, tmp_path: Path, start: str) -> None:
    campaign = stage.submit(b"row_id,prompt,image\na,A man speaks,a.png\n")
    stage.play(campaign, failing={"a": f"{start}HYPERLINK(1)"})
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    for name in ("results.csv", "failed.csv"):
        header, row = read((tmp_path / "out" / name).read_bytes(), ",")
        assert row[header.index("_error")].startswith(f"'{start}HYPERLINK")


def test_a_failed_sheet_holds_what_must_be_mended_or_run_again_and_nothing_else(stage: Stage, tmp_path: Path) -> None:
    data = b"row_id,prompt,image,seed\ngood,Hi,a.png,\nbad,Hi,a.png,x\nlost,Hi,a.png,\nopen,Hi,a.png,\n"
    campaign = stage.submit(data, base="/sheets/spring")
    stage.play(campaign, failing={"lost": "no face"}, at_most=2)
    delivery = deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    header, *rows = read((tmp_path / "out" / "failed.csv").read_bytes(), ",")
    assert header == ["row_id", "prompt", "image", "seed", "_error_code", "_error", "_base"]
    assert [row[0] for row in rows] == ["bad", "lost"]
    assert {row[-1] for row in rows} == {"/sheets/spring"}
    assert delivery.failed_rows == 2


def test_a_failed_sheet_can_be_submitted_again_as_it_stands(stage: Stage, tmp_path: Path) -> None:
    """Mapped columns have our names, and our own columns are read past; a second failure keeps the first base."""
    data = b"name;text;photo;seed\nbad;Hi;a.png;x\nlost;Ho;a.png;\n"
    mapping = {"name": "row_id", "text": "prompt", "photo": "image"}
    first = stage.submit(data, mapping=mapping, base="/first")
    stage.play(first, failing={"lost": "no face"})
    deliver(stage.ledger, stage.store, first, tmp_path / "out")
    again = (tmp_path / "out" / "failed.csv").read_bytes()
    assert again.startswith(b"row_id;prompt;image;seed;_error_code;_error;_base\n")
    second = stage.submit(again, name="again", base="/second")
    assert [row.row_id for row in stage.ledger.rows(second)] == ["bad", "lost"]
    stage.play(second, failing={"lost": "no face"})
    deliver(stage.ledger, stage.store, second, tmp_path / "out2")
    header, *rows = read((tmp_path / "out2" / "failed.csv").read_bytes(), ";")
    assert header == ["row_id", "prompt", "image", "seed", "_error_code", "_error", "_base"]
    assert [row[-1] for row in rows] == ["/first", "/first"]


def test_an_authors_own_base_column_stays_the_only_one(stage: Stage, tmp_path: Path) -> None:
    data = b"row_id,_base,prompt,image,seed\na,/mine,Hi,a.png,x\nb,,Hi,a.png,x\n"
    campaign = stage.submit(data, base="/sheets")
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    header, first, second = read((tmp_path / "out" / "failed.csv").read_bytes(), ",")
    assert header == ["row_id", "_base", "prompt", "image", "seed", "_error_code", "_error"]
    assert [first[1], second[1]] == ["/mine", "/sheets"]


def test_a_results_sheet_that_is_submitted_again_does_not_grow(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(write_sheet("utf-8", ",", "\n"))
    stage.play(campaign)
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    first = (tmp_path / "out" / "results.csv").read_bytes()
    second = stage.submit(first, name="again")
    deliver(stage.ledger, stage.store, second, tmp_path / "out2")
    header, *rows = read((tmp_path / "out2" / "results.csv").read_bytes(), ",")
    assert header == [*ROWS[0], *RESULT_COLUMNS]
    assert [row[:5] for row in rows] == ROWS[1:]


def test_one_bad_row_fails_its_whole_video_and_all_its_rows_come_back(stage: Stage, tmp_path: Path) -> None:
    data = b"row_id,prompt,image,video,seed\na,Hi,a.png,film,\nb,Ho,a.png,film,x\nc,Hu,a.png,,\n"
    campaign = stage.submit(data)
    stage.play(campaign)
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    header, *rows = read((tmp_path / "out" / "failed.csv").read_bytes(), ",")
    assert [row[0] for row in rows] == ["a", "b"]
    assert all(row[header.index("_error_code")] == "SEED_INVALID" for row in rows)


def test_a_results_file_that_would_lack_a_row_is_never_written(stage: Stage) -> None:
    campaign = stage.ledger.campaign(stage.submit(write_sheet("utf-8", ",", "\n")))
    assert campaign.manifest is not None
    sheet = load_sheet(campaign.manifest, stage.store)
    found = collect(stage.ledger, campaign)
    with pytest.raises(Corrupted, match="are not the 4 rows"):
        list(results(replace(found, rows=found.rows[:-1]), sheet, {}))


def test_the_settings_to_submit_a_failed_sheet_with_stand_beside_it(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(write_sheet("utf-8", ",", "\n"))
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    text = (tmp_path / "out" / "campaign.toml").read_text(encoding="utf-8")
    assert parse_campaign_file(text) == stage.ledger.campaign(campaign).settings


def test_an_authors_campaign_file_is_never_written_over(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(write_sheet("utf-8", ",", "\n"))
    theirs = tmp_path / "out" / "campaign.toml"
    theirs.parent.mkdir()
    theirs.write_text("width = 480")
    for _ in range(2):
        deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
        assert theirs.read_text() == "width = 480"


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    placeholders=st.dictionaries(_text, _text, max_size=4),
    negative_prompt=st.none() | _text,
    duration=st.none() | st.floats(0.1, 600),
    priority=st.integers(-1000, 1000),
    seed=st.none() | st.integers(0, 2**63 - 1),
)
def test_any_settings_survive_the_campaign_file(
    placeholders: dict[str, str], negative_prompt: str | None, duration: float | None, priority: int, seed: int | None
) -> None:
    settings = CampaignSettings(
        placeholders=placeholders, negative_prompt=negative_prompt, duration=duration, priority=priority, seed=seed
    )
    assert parse_campaign_file(campaign_file(settings)) == settings
