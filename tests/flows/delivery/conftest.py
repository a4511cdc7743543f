"""A ledger and a store to deliver from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.ledger.memory import MemoryLedger
from storage.ledger.open import open_ledger
from storage.ledger.options import LedgerOptions
from storage.objects.directory import DirectoryStore
from tests.support.browser import browser, page  # noqa: F401  # fixtures
from tests.support.campaigns import Stage
from tests.support.s3 import rclone_s3  # noqa: F401  # a fixture


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """In memory, with objects in a folder."""
    return Stage(MemoryLedger(), DirectoryStore(tmp_path / "objects"))


@pytest.fixture(params=["memory", "sql"])
def each_stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Once on each kind of ledger."""
    if request.param == "memory":
        ledger = MemoryLedger()
    else:
        ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", options=LedgerOptions(), create=True)
    yield Stage(ledger, DirectoryStore(tmp_path / "objects"))
    ledger.close()
