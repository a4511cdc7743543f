"""A migrated Prefect database, made once per test run: the migrations take longer than all the rest of a start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

_FOLDER = "TESTS_PREFECT_DATABASE"
"""Inherited by all workers of a parallel run."""


@pytest.fixture(scope="session", autouse=True)
def prefect_database_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All workers of a run share the folder above their own."""
    base = tmp_path_factory.getbasetemp()
    share_database(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


def share_database(folder: Path) -> None:
    """Let this process and those that it starts make the database once, in this folder."""
    os.environ[_FOLDER] = str(folder)


def place_database(home: Path) -> None:
    """What a Prefect that starts in `home` would make of an empty folder."""
    folder = Path(os.environ[_FOLDER])
    template = folder / "prefect-template"
    with FileLock(folder / "prefect-template.lock"):
        if not (template / "made").exists():
            _make(template)
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(template / "prefect.db", home / "prefect.db")


def _make(template: Path) -> None:
    template.mkdir(exist_ok=True)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
        env=clean | {"PREFECT_HOME": str(template), "DO_NOT_TRACK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=300,
    )
    assert not list(template.glob("prefect.db-*")), "the database was not closed"
    (template / "made").touch()
