"""The pool between none and many, on real connections."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from storage.ledger.sql.engine import make_engine, parse_url
from storage.ledger.sql.lingering import LingeringPool
from tests.support.postgres import PostgresServer

BACKEND = sa.text("SELECT pg_backend_pid()")


@pytest.fixture
def engine(shared_postgres: str) -> Iterator[Engine]:
    found = make_engine(parse_url(shared_postgres))
    assert isinstance(found.pool, LingeringPool)
    yield found
    found.dispose()


def backend(engine: Engine) -> int:
    """Which server process answers."""
    with engine.connect() as connection:
        return int(connection.execute(BACKEND).scalar_one())


def test_verbs_that_follow_each_other_share_a_connection(engine: Engine) -> None:
    """A connection given back is taken again, the youngest one first."""
    first = backend(engine)
    assert backend(engine) == first
    with engine.connect() as one, engine.connect() as other:
        assert one.execute(BACKEND).scalar_one() != other.execute(BACKEND).scalar_one()
        youngest = one.execute(BACKEND).scalar_one()
        other.close()
    assert engine.pool.status() == "LingeringPool, 2 idle"
    assert backend(engine) == youngest


def test_nobody_wants_it_so_it_closes(engine: Engine, postgres: PostgresServer, shared_postgres: str) -> None:
    """What is idle for the lingering time is closed, and the next verb opens another one."""
    first = backend(engine)
    assert postgres.connections(shared_postgres)
    assert postgres.comes_to_rest(shared_postgres)
    assert engine.pool.status() == "LingeringPool, 0 idle"
    assert backend(engine) != first


def test_dispose_closes_at_once(engine: Engine, postgres: PostgresServer, shared_postgres: str) -> None:
    """A ledger that is closed leaves no connection, and may be used again."""
    before = backend(engine)
    engine.dispose()
    assert engine.pool.status() == "LingeringPool, 0 idle"
    assert backend(engine) != before
    engine.dispose()


def test_a_connection_cut_while_idle(engine: Engine, postgres: PostgresServer, shared_postgres: str) -> None:
    """One that the server cut fails once, as a cut connection does, and is not handed out again."""
    backend(engine)
    assert postgres.terminate_connections(shared_postgres) == 1
    with pytest.raises(sa.exc.OperationalError) as caught:
        backend(engine)
    assert caught.value.connection_invalidated
    assert backend(engine)
