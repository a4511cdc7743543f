"""How many connections a ledger has, and that none outlives it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from storage.ledger.sql.database import Database, Tx
from storage.ledger.sql.engine import make_engine, parse_url
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
    engine = make_engine(parse_url(fresh_sqlite(empty_sqlite, tmp_path)))
    for name in ("connect", "checkout", "close"):
        event.listen(engine, name, lambda *_, name=name: told.update([name]))
    found = Database(engine, OPTIONS)
    yield found
    found.close()
    assert told["connect"] == told["close"]


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
