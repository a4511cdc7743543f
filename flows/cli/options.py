"""Options that several verbs share, with one wording."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import keep_secrets_of
from flows.where import resolve_settings
from schemas.errors import InvalidInput
from schemas.settings import Settings

Manifest = Annotated[
    Path,
    # Whether it can be read is found out by reading it, and reported like everything else.
    typer.Argument(help="The sheet: a CSV with row_id, prompt, image, audio.", show_default=False, readable=False),
]
CampaignName = Annotated[str, typer.Argument(help="Name or id of a campaign.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]
CampaignOption = Annotated[str, typer.Option("--campaign", help="Name of the campaign; the file's stem by default.")]
MapOption = Annotated[str, typer.Option("--map", help='Rename columns: "text=prompt,photo=image".')]
Delimiter = Annotated[str | None, typer.Option("--delimiter", help="Delimiter of the sheet; found out by default.")]
Engine = Annotated[str | None, typer.Option("--engine", help="Engine that renders; the model's own by default.")]
Model = Annotated[str | None, typer.Option("--model", help="Model whose limits hold.")]
Ranks = Annotated[int | None, typer.Option("--ranks", min=1, max=8, help="Devices that render one clip together.")]
ValidOnly = Annotated[bool, typer.Option("--valid-only", help="Leave videos with bad rows out instead of refusing.")]
Home = Annotated[str | None, typer.Option("--home", help="State folder; .callsheet by default.")]


def settings_from(home: str | None = None, **flags: Any) -> Settings:
    settings = resolve_settings({"home": home, **flags}).settings
    keep_secrets_of(settings)
    return settings


def overrides(**values: Any) -> Mapping[str, Any]:
    """Campaign settings that were given on the command line."""
    return {key: value for key, value in values.items() if value is not None}


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> int:
    """Seconds of `90s`, `15m`, `12h`, `7d`.

    Raises:
        InvalidInput: anything else.
    """
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if not match:
        raise InvalidInput(f"{text!r} is no duration", fix="write it as 90s, 15m, 12h or 7d")
    return int(match[1]) * _UNITS[match[2]]
