import pytest

from schemas.campaign import CampaignSettings
from schemas.campaign_file import parse_campaign_file
from schemas.errors import InvalidSettings


def test_an_empty_file_is_all_defaults() -> None:
    """campaign.toml may be there and say nothing."""
    assert parse_campaign_file("# nothing yet\n") == CampaignSettings()


def test_stated_settings_hold() -> None:
    """Whole numbers stand for decimal ones; placeholders are a table."""
    settings = parse_campaign_file('model = "humo-1.7B"\nduration = 3\n[placeholders]\ncity = "Lisbon"\n')
    assert (settings.model, settings.duration, settings.placeholders) == ("humo-1.7B", 3.0, {"city": "Lisbon"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("widht = 832\nheight = 480", "widht: no such setting; did you mean width"),
        ("zzz = 1", "zzz: no such setting"),
        ("[render]\nseed = 1", "[render]: no such table; write seed above all tables"),
        ("[placeholders]\ncity = 1", "placeholders.city"),
        ("width = 832", "width: width and height are set together"),
        ('priority = "5"', "priority:"),
        ("priority = true", "priority:"),
        ("priority = 5000", "priority:"),
        ("guidance_text = nan", "guidance_text: nan is not a finite number"),
        ("duration = -1", "duration:"),
        ("duration 3", "is not TOML"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, message: str) -> None:
    """Unknown keys and impossible values are errors with the file's name and a way out."""
    with pytest.raises(InvalidSettings) as error:
        parse_campaign_file(text, name="spots/campaign.toml")
    assert message in error.value.message
    assert "spots/campaign.toml" in error.value.message
    assert error.value.fix


def test_all_errors_come_at_once() -> None:
    """One reading finds every fault."""
    with pytest.raises(InvalidSettings) as error:
        parse_campaign_file('sede = 1\npriority = "x"\nwidth = 832\nguidance_audio = inf\n')
    for name in ("sede", "priority", "width", "guidance_audio"):
        assert name in error.value.message
