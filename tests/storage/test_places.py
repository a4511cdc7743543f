"""From settings to places: the embedded defaults, and what is said when a place cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import InvalidSettings
from schemas.settings import Settings
from storage.places import (
    ledger_url,
    load_settings,
    open_ledger_of,
    open_store_of,
    scratch_folder,
    store_url,
)


def test_everything_lies_under_home_by_default(tmp_path: Path) -> None:
    """A SQLite file, a directory of objects and a scratch folder, made when they are first wanted."""
    settings = Settings(home=str(tmp_path / "state"))
    assert ledger_url(settings) == f"sqlite:///{tmp_path}/state/ledger.db"
    assert store_url(settings) == f"file://{tmp_path}/state/objects"
    open_ledger_of(settings).close()
    open_store_of(settings).check()
    assert scratch_folder(settings) == tmp_path / "state" / "scratch"
    assert (tmp_path / "state" / "ledger.db").is_file()


def test_what_is_set_is_taken(tmp_path: Path) -> None:
    """Addresses in the settings win over the defaults."""
    settings = Settings.model_validate(
        {"database_url": "postgresql://db/x", "store_url": "s3://bucket/prefix", "scratch": str(tmp_path / "s")}
    )
    assert ledger_url(settings) == "postgresql://db/x"
    assert store_url(settings) == "s3://bucket/prefix"
    assert scratch_folder(settings) == tmp_path / "s"


def test_a_folder_that_cannot_be_made_is_a_bad_setting(tmp_path: Path) -> None:
    """The message names the setting to mend."""
    (tmp_path / "file").write_text("")
    settings = Settings(home=str(tmp_path / "file" / "state"))
    with pytest.raises(InvalidSettings, match="cannot be made") as caught:
        open_ledger_of(settings, create=False)
    assert "`home`" in caught.value.fix
    with pytest.raises(InvalidSettings, match="cannot be made"):
        scratch_folder(settings)


def test_the_file_beside_is_read_and_variables_win(tmp_path: Path) -> None:
    """callsheet.toml in the folder, then variables, then flags; each value's source is known."""
    (tmp_path / "callsheet.toml").write_text('home = "toml"\nlease_ttl_s = 30\nlog_level = "ERROR"\n')
    resolved = load_settings({"CALLSHEET_LEASE_TTL_S": "40"}, flags={"log_level": "DEBUG"}, folder=tmp_path)
    assert (resolved.settings.home, resolved.settings.lease_ttl_s, resolved.settings.log_level) == (
        "toml",
        40,
        "DEBUG",
    )
    assert resolved.sources["home"] == str(tmp_path / "callsheet.toml")


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    """CALLSHEET_CONFIG is never silently ignored; a folder without a file is fine."""
    assert load_settings({}, folder=tmp_path).settings == Settings()
    with pytest.raises(InvalidSettings, match="cannot be read"):
        load_settings({"CALLSHEET_CONFIG": str(tmp_path / "missing.toml")}, folder=tmp_path)
