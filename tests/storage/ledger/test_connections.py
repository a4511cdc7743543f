"""How many connections a ledger has, that none outlives it, and that none outlives its file."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from schemas.errors import Retryable
from storage.ledger.sql.database import Database, Tx
from storage.ledger.sql.engine import make_engine, parse_url
from storage.ledger.tables import campaign
from tests.support.ledgers import OPTIONS, fresh_sqlite

AT_ONCE = 40
"""More than SQLAlchemy's own pool lends out."""


class Refusal(Exception):
    pass


class Struck(BaseException):
    pass


@pytest.fixture
def told() -> Counter[str]:
    """What the pool said of connections to the file."""
    return Counter()


@pytest.fixture
def database(empty_sqlite: Path, tmp_path: Path, told: Counter[str]) -> Iterator[Database]:
    folder = tmp_path / "ledger"
    folder.mkdir()
    engine = make_engine(parse_url(fresh_sqlite(empty_sqlite, folder)))
    for name in ("connect", "checkout", "close"):
        event.listen(engine, name, lambda *_, name=name: told.update([name]))
    found = Database(engine, OPTIONS)
    yield found
    found.close()
    assert told["connect"] == told["close"]


@pytest.fixture
def file(database: Database) -> Path:
    assert database.engine.url.database is not None
    return Path(database.engine.url.database)


def teams(database: Database) -> list[str]:
    return sorted(record["team"] for record in database.read(lambda tx: tx.rows(sa.select(campaign.c.team))))


def add_team(database: Database, name: str) -> None:
    words = {column.name: 0 if isinstance(column.type, sa.Integer | sa.Double) else name for column in campaign.c}
    database.write(lambda tx: tx.insert(campaign, [words]))


def now(tx: Tx) -> float:
    return tx.now


def stop(error: BaseException) -> None:
    raise error


def test_verbs_on_a_file_share_one_connection(database: Database, told: Counter[str]) -> None:
    """It is not even given back between them; a verb that fails gives it back."""
    for _ in range(3):
        assert database.read(now) <= database.write(now)
    assert told == {"connect": 1, "checkout": 1}
    with pytest.raises(Refusal):
        database.write(lambda _: stop(Refusal()))
    assert database.write(now)
    assert told == {"connect": 1, "checkout": 2}


def test_each_thread_at_work_has_its_own(database: Database, told: Counter[str]) -> None:
    """As many connections as verbs at once, however many; those are kept, and closed with the ledger even when another
    was broken off in between."""
    all_of_them = threading.Barrier(AT_ONCE)
    work = (lambda _: all_of_them.wait(timeout=20),)
    threads = [threading.Thread(target=database.read, args=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not all_of_them.broken
    assert told == {"connect": AT_ONCE, "checkout": AT_ONCE}
    with pytest.raises(Struck):
        database.write(lambda _: stop(Struck()))
    assert database.write(now)
    assert told["connect"] == AT_ONCE
    database.close()
    assert told["close"] == AT_ONCE
    assert database.write(now), "a closed one opens again"


def test_a_file_that_was_put_in_its_place_is_the_ledger(database: Database, file: Path, told: Counter[str]) -> None:
    """A backup, say: who had the old one open goes on with the new one, also by a connection given back to the pool."""
    add_team(database, "before")
    backup = shutil.copytree(file.parent, file.parent.with_name("backup"))
    add_team(database, "after")
    for strike in (None, Refusal()):
        if strike:
            with pytest.raises(Refusal):
                database.write(lambda _: stop(Refusal()))
        shutil.rmtree(file.parent)
        shutil.copytree(backup, file.parent)
        assert teams(database) == ["before"]
        add_team(database, "other")
        with closing(sqlite3.connect(file)) as another:
            assert another.execute("SELECT team FROM campaign ORDER BY team").fetchall() == [("before",), ("other",)]
    assert (told["connect"], told["close"]) == (3, 2)


def test_a_file_that_is_gone_is_not_made_anew(database: Database, file: Path, told: Counter[str]) -> None:
    """SQLite would go on with it as if it were there. What was moved away and comes back is the ledger again."""
    add_team(database, "before")
    away = file.parent.rename(file.parent.with_name("away"))
    for work in (lambda: teams(database), lambda: add_team(database, "lost")):
        with pytest.raises(Retryable, match=f"{file} is gone"):
            work()
    file.parent.mkdir()
    with pytest.raises(Retryable, match="is gone"):
        teams(database)
    assert list(file.parent.iterdir()) == []
    file.parent.rmdir()
    away.rename(file.parent)
    add_team(database, "after")
    assert teams(database) == ["after", "before"]
    assert told["connect"] == 1
