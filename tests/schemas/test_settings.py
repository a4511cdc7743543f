"""Settings come from a file, the environment and flags; the later one wins and every fault is named."""

from __future__ import annotations

import pytest

from schemas.errors import InvalidSettings
from schemas.settings import Settings, environment, resolve, setting_names, variable


def test_the_later_source_wins_and_is_remembered() -> None:
    """A flag beats a variable, which beats the file; `sources` says which it was."""
    resolved = resolve(
        toml_text='home = "a"\nlog_level = "DEBUG"\nlease_ttl_s = 60\n[limits]\nimage_bytes = 5\n',
        environ={"CALLSHEET_HOME": "b", "CALLSHEET_LOG_LEVEL": "ERROR", "PATH": "x"},
        flags={"home": "c", "executor": None},
    )
    assert (resolved.settings.home, resolved.settings.log_level, resolved.settings.lease_ttl_s) == ("c", "ERROR", 60)
    assert resolved.settings.limits.image_bytes == 5
    assert resolved.sources == {
        "home": "--home",
        "log_level": "CALLSHEET_LOG_LEVEL",
        "lease_ttl_s": "callsheet.toml",
        "limits.image_bytes": "callsheet.toml",
    }


def test_every_fault_is_named_at_once() -> None:
    """Unknown keys of all sources and impossible values come in one error, with the near miss."""
    with pytest.raises(InvalidSettings) as caught:
        resolve(
            toml_text='hoem = "a"\n[limits]\nx = 1\n', environ={"CALLSHEET_LEASE_TTL_S": "-1", "CALLSHEET_STORE": "y"}
        )
    message = str(caught.value)
    for part in (
        "hoem",
        "did you mean home?",
        "limits.x",
        "CALLSHEET_STORE ",
        "lease_ttl_s (from CALLSHEET_LEASE_TTL_S)",
    ):
        assert part in message


def test_broken_toml_is_an_error_with_its_name() -> None:
    """A file that is no TOML is named."""
    with pytest.raises(InvalidSettings, match=r"mine.toml is not TOML"):
        resolve(toml_text="home = ", toml_name="mine.toml", environ={})


def test_an_impossible_secret_is_not_repeated() -> None:
    """The text of an error never holds the value that was given."""
    with pytest.raises(InvalidSettings) as caught:
        resolve(toml_text="s3_secret_key = 12345\n", environ={})
    assert "12345" not in str(caught.value)


def test_a_child_process_gets_the_same_settings() -> None:
    """`environment` and `resolve` are inverse, secrets and lists included."""
    settings = resolve(
        toml_text='fetch_hosts = ["a.example", "b.example"]\ns3_secret_key = "s"\n[limits]\naudio_max_s = 7.5\n',
        environ={},
    ).settings
    assert resolve(toml_text='home = "elsewhere"', environ=environment(settings)).settings == settings


def test_secrets_are_not_printed() -> None:
    """Neither repr nor JSON of the settings shows a secret."""
    settings = Settings.model_validate({"s3_secret_key": "canary-1", "database_url": "postgresql://u:canary-2@h/d"})
    assert "canary" not in repr(settings) + settings.model_dump_json()


def test_variables_are_unique() -> None:
    """No two settings share a variable."""
    assert len({variable(name) for name in setting_names()}) == len(setting_names())
