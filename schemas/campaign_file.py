"""The text of `campaign.toml`, which lies beside a manifest and says what holds for all of its rows."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from schemas.campaign import CampaignSettings
from schemas.errors import InvalidSettings
from schemas.manifest.wording import visible

_LONG_NAME = re.compile(r"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")
"""A name of 33 parts. TOML's parser keeps every beginning of a name: a name of 30,000 parts takes gigabytes."""

_LISTED = 20
_MANUAL = "docs/manifest.md lists what campaign.toml may hold"


def parse_campaign_file(text: str, *, name: str = "campaign.toml") -> CampaignSettings:
    """The settings that the file states, the defaults for the others; an empty text is all defaults.

    Raises:
        InvalidSettings: naming every unknown key and impossible value at once.
    """
    stated = _parse(text.removeprefix("\ufeff"), name)
    errors = [*_unknown(stated), *_not_finite(stated), *_half_sizes(stated)]
    known = {key: value for key, value in stated.items() if key in CampaignSettings.model_fields}
    settings = CampaignSettings()
    try:
        settings = CampaignSettings.model_validate(known, strict=True)
    except ValidationError as error:
        errors.extend(_impossible(error))
    if errors:
        more = [f"... and {len(errors) - _LISTED:,} more"] if len(errors) > _LISTED else []
        listed = "\n  ".join([*errors[:_LISTED], *more])
        raise InvalidSettings(f"{name} cannot be used:\n  {listed}", fix=f"correct it; {_MANUAL}")
    return settings


def _parse(text: str, name: str) -> dict[str, Any]:
    fix = 'write lines such as model = "humo-17B"'
    if _LONG_NAME.search(text):
        raise InvalidSettings(f"{name} is not TOML as it is read here: a name has more than 32 parts", fix=fix)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"{name} is not TOML: {error}", fix=fix) from None
    except (RecursionError, ValueError):
        # Brackets thousands deep, numbers of thousands of digits: TOML by the letter, and no settings.
        raise InvalidSettings(
            f"{name} is not TOML as it is read here: it is too deep or a number too long", fix=fix
        ) from None


def _unknown(stated: Mapping[str, Any]) -> list[str]:
    known = list(CampaignSettings.model_fields)
    found = []
    for key, value in stated.items():
        if key in known:
            continue
        inside = [inner for inner in value if inner in known] if isinstance(value, dict) else []
        if inside:
            found.append(f"[{key}]: no such table; write {', '.join(inside)} above all tables")
            continue
        # Comparing words is slow, and nobody reads a thousand hints.
        close = difflib.get_close_matches(key[:100], known, n=1) if len(found) < _LISTED else []
        found.append(f"{visible(key[:100])}: no such setting" + (f"; did you mean {close[0]}?" if close else ""))
    return found


def _not_finite(stated: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}: {value} is not a finite number"
        for key, value in stated.items()
        if isinstance(value, float) and not math.isfinite(value)
    ]


def _half_sizes(stated: Mapping[str, Any]) -> list[str]:
    given = [key for key in ("width", "height") if key in stated]
    return [f"{given[0]}: width and height are set together or not at all"] if len(given) == 1 else []


def _impossible(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        for fault in error.errors(include_input=False, include_url=False)
    ]
