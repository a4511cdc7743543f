"""Prompts: cleaned as the reference cleans them, placeholders filled once."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.campaign import CampaignSettings
from schemas.manifest.prompts import Placeholders, clean_prompt
from tests.support.sheets import check_sheet, one_row


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (' "A man_with a hat" ', "A man with a hat"),
        ("no change", "no change"),
        ('__x__ "', "  x   "),
        ('"inner "q" end"', 'inner "q" end'),
    ],
)
def test_a_prompt_is_cleaned_as_humo_cleans_its_prompt_field(prompt: str, text: str) -> None:
    """Strip, underscores to blanks, outer double quotes off: the values of the reference implementation."""
    assert clean_prompt(prompt) == text


DEFAULTS = {"mood": "calm", "city": "Lisbon", "empty": ""}


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [
        ("a {{hat_color}} hat", "a dark red hat"),
        ("a {{ hat_color }} hat", "a dark red hat"),
        ("{{mood}} and {{mood}}", "calm and calm"),
        ("{{city}}", "Porto"),
        ("x{{empty}}y", "xy"),
        ("{{blank}}.", "."),
        ("{{{city}}}", "{Porto}"),
        ("{x} }{", "{x} }{"),
        ("seed {{seed}}", "seed 7"),
        ("{{full name}}", "Ana"),
    ],
)
def test_placeholders_take_the_row_before_the_campaign(prompt: str, filled: str) -> None:
    """A cell wins over a default, an empty cell does not; what is filled in is cleaned with the rest."""
    sheet = one_row(
        prompt=prompt, hat_color="dark_red", mood="", city="Porto", seed="7", blank="", **{"full name": "Ana"}
    )
    check = check_sheet(sheet, settings=CampaignSettings(placeholders=DEFAULTS))
    assert check.rows[0].prompt == filled
    assert [problem.code for problem in check.problems] == []


def test_a_mapped_column_goes_by_either_name() -> None:
    """Authors need not know our names to use their own columns."""
    sheet = one_row(prompt="{{photo}} is {{image}}").replace("image", "photo", 1)
    check = check_sheet(sheet, mapping={"photo": "image"})
    assert check.rows[0].prompt == "face.png is face.png"


def test_every_bad_placeholder_of_a_prompt_is_reported() -> None:
    """Not only the first."""
    check = check_sheet(one_row(prompt="{{a}} {{b}} {{"))
    assert sorted(problem.code for problem in check.problems) == [
        "PLACEHOLDER_MALFORMED",
        "PLACEHOLDER_UNKNOWN",
        "PLACEHOLDER_UNKNOWN",
    ]


@example("{{{a}}", "{")
@example("{{a}}}", "}")
@given(st.text(st.sampled_from("{}a _"), max_size=12), st.text(st.sampled_from("{}x"), max_size=4))
def test_no_double_brace_reaches_the_model(text: str, value: str) -> None:
    """A text without faults has no placeholder left in it, not even one made of a brace here and a brace there."""
    placeholders = Placeholders(("a",), ("a",), {})
    filled, faults = placeholders.fill(text, (value,), column="prompt")
    assert faults or not any(braces in filled for braces in ("{{", "}}"))
