"""docs/settings.md lists every setting with its variable, default and meaning, as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from schemas.settings import Limits, Settings, setting_names, variable

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")


def field_of(name: str) -> FieldInfo:
    group, _, leaf = name.rpartition(".")
    return Limits.model_fields[leaf] if group else Settings.model_fields[leaf]


def shown_default(field: FieldInfo) -> str:
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return "" if default in ("", ()) else f"`{default}`"


def table_row(name: str) -> str:
    field = field_of(name)
    meaning = " ".join((field.description or "").split())
    return f"| `{name}` | `{variable(name)}` | {shown_default(field)} | {meaning} |"


def test_every_setting_has_its_row() -> None:
    """The page's table is what the code says, in the code's order."""
    rows = [line for line in PAGE.splitlines() if re.match(r"\| `[a-z0-9_.]+` \| `CALLSHEET_", line)]
    assert rows == [table_row(name) for name in setting_names()]


def test_every_setting_is_explained() -> None:
    """No setting is without a sentence."""
    assert [name for name in setting_names() if not field_of(name).description] == []
