"""docs/manifest.md says what the code does."""

import re
from pathlib import Path

import pytest

from schemas.campaign import CampaignSettings
from schemas.campaign_file import parse_campaign_file
from schemas.manifest.columns import BASE, COLUMNS, RESULT_COLUMNS
from schemas.mode import Mode
from schemas.problem import Code
from schemas.settings import Limits
from tests.support.sheets import check_sheet, parse_sheet

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def manual() -> str:
    return (ROOT / "docs" / "manifest.md").read_text()


def block(manual: str, language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", manual, re.MULTILINE | re.DOTALL)
    return str(found)


def test_every_code_is_explained_exactly_once(manual: str) -> None:
    """The closed list of codes and the table are the same list in the same order, each with a remedy."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \|$", manual, re.MULTILINE)
    assert [code for code, _, _ in rows] == [code.value for code in Code]


def test_every_column_is_explained(manual: str) -> None:
    """Also those that callsheet reads or writes itself."""
    table = manual.partition("## Columns")[2].partition("## Prompts")[0]
    first_cells = " ".join(re.findall(r"^\| (.+?) \|", table, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", first_cells)) >= {*COLUMNS, BASE}
    assert ",".join(RESULT_COLUMNS) in manual


def test_the_limits_are_those_in_force(manual: str) -> None:
    """Numbers on the page are the defaults."""
    limits = Limits()
    assert f"{limits.manifest_rows:,} rows, {limits.manifest_bytes // 2**20} MiB" in manual
    assert f"{limits.cell_chars:,} characters in a cell" in manual
    assert f"1 to {limits.prompt_chars:,} characters" in manual


def test_the_example_sheet_is_sound(manual: str) -> None:
    """A reader who copies it gets three shots and two videos."""
    check = check_sheet(block(manual, "csv"))
    assert check.problems == ()
    assert [(row.video, row.shot_order, row.mode) for row in check.rows] == [
        ("ana", 1, Mode.TIA),
        ("ana", 2, Mode.TI),
        ("goodbye", None, Mode.TA),
    ]
    assert check.rows[0].prompt.endswith("Lisbon behind her.")
    assert parse_sheet(block(manual, "csv")).columns[-1] == "city"


def test_the_example_campaign_file_is_sound_and_its_keys_are_all_listed(manual: str) -> None:
    """Every key that campaign.toml may hold stands on the page."""
    settings = parse_campaign_file(block(manual, "toml"))
    assert (settings.width, settings.placeholders["city"]) == (832, "Lisbon")
    listed = re.findall(r"\w+", manual.partition("Keys: `")[2].partition("`")[0])
    assert {*listed, "placeholders"} == set(CampaignSettings.model_fields)
