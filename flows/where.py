"""The settings of this process, resolved once from the file, the environment and the flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from schemas.settings import ResolvedSettings, Settings, environment
from storage.places import CONFIG_VARIABLE, load_settings


def resolve_settings(flags: Mapping[str, Any] | None = None) -> ResolvedSettings:
    """`callsheet.toml` (or the file that CALLSHEET_CONFIG names), then variables, then flags.

    Raises:
        InvalidSettings: a named file is missing, a key is unknown, or a value is impossible.
    """
    return load_settings(os.environ, flags=flags)


@lru_cache(maxsize=1)
def settings_now() -> Settings:
    """The settings in force for flows that this process runs."""
    return resolve_settings().settings


def use_settings(settings: Settings) -> None:
    """Make `settings` what `settings_now` answers here and in child processes."""
    os.environ.pop(CONFIG_VARIABLE, None)
    os.environ.update(environment(settings))
    settings_now.cache_clear()
