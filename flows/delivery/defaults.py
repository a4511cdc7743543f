"""campaign.toml beside failed.csv: without it the rows would be submitted again with other defaults."""

from __future__ import annotations

import json
from typing import Any

from schemas.campaign import CampaignSettings

HEAD = "# The settings that the campaign was submitted with, so that failed.csv can be submitted again as it stands.\n"


def campaign_file(settings: CampaignSettings) -> str:
    """The settings that are not the default, as `parse_campaign_file` reads them."""
    stated = {
        name: value
        for name, value in settings
        if value != CampaignSettings.model_fields[name].get_default(call_default_factory=True)
    }
    plain = [f"{name} = {_toml(value)}" for name, value in stated.items() if not isinstance(value, dict)]
    tables = [
        "\n".join([f"\n[{name}]", *(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items())])
        for name, value in stated.items()
        if isinstance(value, dict)
    ]
    return HEAD + "\n".join([*plain, *tables]) + "\n"


def _toml(value: Any) -> str:
    """Texts, numbers and truth; a JSON string is a TOML string but for one character (toml.io, v1.0.0)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
