"""From a URL to a ledger, or to a message that helps and keeps the password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from schemas.errors import Incompatible, InvalidSettings, NotFound, Permanent, Retryable
from storage.ledger.memory import MemoryLedger
from storage.ledger.open import open_ledger
from storage.ledger.options import LedgerOptions
from storage.ledger.sql import engine
from storage.ledger.sql.ledger import SqlLedger
from tests.support.ledgers import good_row, sheet
from tests.support.postgres import PostgresServer

OPTIONS = LedgerOptions()


def test_memory() -> None:
    """`memory:` is a ledger of this process."""
    assert isinstance(open_ledger("memory:", options=OPTIONS, create=False), MemoryLedger)


def test_a_sqlite_file_is_made_when_asked_for(tmp_path: Path) -> None:
    """With `create` file and folder are made; without, nothing is, and the message says what to do."""
    path = tmp_path / "new folder" / "ledger.db"
    with pytest.raises(NotFound, match="no ledger"):
        open_ledger(f"sqlite:///{path}", options=OPTIONS, create=False)
    assert not path.parent.exists()
    ledger = open_ledger(f"sqlite:///{path}", options=OPTIONS, create=True)
    campaign_id = ledger.submit(sheet(good_row("a"))).campaign_id
    ledger.close()
    again = open_ledger(f"sqlite:///{path}", options=OPTIONS, create=False)
    assert isinstance(again, SqlLedger)
    assert again.campaign(campaign_id).name == "spring"
    again.close()


def test_the_log_of_a_big_sheet_is_cut_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's log is as large as the largest transaction: not for as long as somebody has the ledger open."""
    monkeypatch.setattr(engine, "LOG_BYTES", 1 << 20)
    path = tmp_path / "ledger.db"
    ledger = open_ledger(f"sqlite:///{path}", options=OPTIONS, create=True)
    ledger.submit(sheet(*(good_row(f"r{number}", prompt="a long prompt " * 500) for number in range(300)), name="big"))
    log = path.with_name(f"{path.name}-wal")
    assert log.stat().st_size > 2 << 20
    for name in ("first", "second"):
        ledger.submit(sheet(good_row("a"), name=name))
    assert log.stat().st_size <= 1 << 20
    ledger.close()


def test_an_empty_file_is_no_ledger(tmp_path: Path) -> None:
    """A SQLite file without the ledger's tables is refused by those who do not create."""
    path = tmp_path / "other.db"
    path.touch()
    with pytest.raises(Incompatible, match="no ledger"):
        open_ledger(f"sqlite:///{path}", options=OPTIONS, create=False)


@pytest.mark.parametrize("create", [True, False])
def test_another_file_is_no_database(tmp_path: Path, create: bool) -> None:
    """A file that is no database at all is refused, and left as it is."""
    path = tmp_path / "sheet.csv"
    path.write_text("row_id,prompt\n" * 100, encoding="utf-8")
    with pytest.raises(Permanent, match="cannot be used"):
        open_ledger(f"sqlite:///{path}", options=OPTIONS, create=create)
    assert path.read_text(encoding="utf-8") == "row_id,prompt\n" * 100


def test_postgresql(postgres: PostgresServer) -> None:
    """A PostgreSQL URL opens through psycopg; a ledger that is closed holds no connection."""
    url = postgres.new_database()
    with pytest.raises(Incompatible):
        open_ledger(url, options=OPTIONS, create=False)
    ledger = open_ledger(url.replace("postgresql:", "postgres:"), options=OPTIONS, create=True)
    ledger.submit(sheet(good_row("a")))
    ledger.close()
    assert postgres.comes_to_rest(url)


def test_a_database_that_lacks_characters_is_refused(postgres: PostgresServer) -> None:
    """Before anything is made in it, and by those who do not create, too: with the words for one that will do."""
    url = postgres.new_database(encoding="LATIN1")
    for create in (True, False):
        with pytest.raises(Incompatible, match="in LATIN1") as caught:
            open_ledger(url, options=OPTIONS, create=create)
        assert "ENCODING 'UTF8'" in caught.value.fix
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == []


def test_a_database_of_plain_bytes_keeps_every_character(postgres: PostgresServer) -> None:
    """SQL_ASCII, as clusters of the C locale are made: what went in comes out, in bulk and one by one."""
    ledger = open_ledger(postgres.new_database(encoding="SQL_ASCII"), options=OPTIONS, create=True)
    prompts = {"a": "Zoë grüßt 世界", "b": "\U0001f3ac \u202e right to left", "c": "ß"}
    campaign_id = ledger.submit(sheet(*(good_row(name, prompt=text) for name, text in prompts.items()))).campaign_id
    ledger.submit(sheet(good_row("a", prompt="世"), *(good_row(name, prompt=prompts[name]) for name in "bc")))
    assert {row.row_id: row.shot.prompt for row in ledger.rows(campaign_id) if row.shot} == prompts | {"a": "世"}
    ledger.close()


@pytest.mark.parametrize("url", ["mysql://u:s3cret@h/d", "not a url", "sqlite://", "sqlite:///:memory:", ""])
def test_other_urls_are_refused(url: str) -> None:
    """A URL of no ledger is refused, without its password."""
    with pytest.raises(InvalidSettings) as caught:
        open_ledger(url, options=OPTIONS, create=True)
    assert "s3cret" not in str(caught.value)
    assert "postgresql://" in caught.value.fix


def test_a_server_that_is_away_keeps_its_password(caplog: pytest.LogCaptureFixture) -> None:
    """A server that cannot be reached is `Retryable` after bounded tries; no message holds the password."""
    with pytest.raises(Retryable) as caught:
        open_ledger("postgresql://user:s3cret@127.0.0.1:9/ledger", options=OPTIONS, create=True)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not any("s3cret" in str(error) for error in chain)
    assert "s3cret" not in caplog.text


def test_it_works_without_the_repository(tmp_path: Path) -> None:
    """Creating a ledger needs the installed packages only: no ini file, no working directory."""
    script = (
        "from storage.ledger.open import open_ledger; from storage.ledger.options import LedgerOptions;"
        "print(len(open_ledger('sqlite:///here.db', options=LedgerOptions(), create=True).campaigns()))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert (tmp_path / "here.db").exists()
