"""The schema's revisions make what tables.py says, go up and down, and refuse what they do not know."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from schemas.errors import Incompatible
from storage.ledger import schema
from storage.ledger.sql.engine import make_engine, parse_url
from storage.ledger.tables import metadata
from tests.support.postgres import PostgresServer

VERSION_TABLE = "alembic_version"


@pytest.fixture(params=["sqlite", "postgresql"])
def engines(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """Two empty databases of one kind."""
    if request.param == "sqlite":
        urls = [f"sqlite:///{tmp_path / name}.db" for name in ("one", "two")]
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        urls = [server.new_database() for _ in range(2)]
    one, two = (make_engine(parse_url(url)) for url in urls)
    yield one, two
    one.dispose()
    two.dispose()


def described(engine: Engine) -> set[tuple[str, ...]]:
    """Everything that the database itself says of its tables, columns, keys and indexes."""
    if engine.dialect.name == "sqlite":
        questions = ["SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"]
    else:
        columns = "table_name, column_name, data_type, is_nullable, column_default, collation_name"
        questions = [
            f"SELECT {columns} FROM information_schema.columns WHERE table_schema = 'public'",
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        ]
    with engine.connect() as connection:
        rows = [row for question in questions for row in connection.execute(sa.text(question))]
    # Column order and white space inside a CREATE statement are no difference.
    said = {tuple(" ".join(sorted(str(cell).replace(",", " ").split())) for cell in row) for row in rows}
    return {row for row in said if not any(VERSION_TABLE in cell for cell in row)}


def test_the_last_script_is_what_this_program_works_on() -> None:
    """HEAD is written down so that a command need not read the scripts; it is what they end with."""
    assert ScriptDirectory.from_config(schema._config()).get_heads() == [schema.HEAD]


def test_migrations_make_what_the_tables_say(engines: tuple[Engine, Engine]) -> None:
    """A migrated database and one made from tables.py are the same, index by index."""
    migrated, fresh = engines
    schema.upgrade(migrated)
    metadata.create_all(fresh)
    assert described(migrated) == described(fresh)
    assert len(described(migrated)) > 20
    with migrated.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrations_go_up_and_down(engines: tuple[Engine, Engine]) -> None:
    """Down to nothing and up again leaves the same schema; up twice does nothing."""
    engine, _ = engines
    schema.upgrade(engine)
    before = described(engine)
    schema.downgrade(engine, target="base")
    assert sa.inspect(engine).get_table_names() == [VERSION_TABLE]
    schema.upgrade(engine)
    schema.upgrade(engine)
    assert described(engine) == before


def test_pointers_of_rows_become_their_campaigns(engines: tuple[Engine, Engine]) -> None:
    """Revision 2: what rows pointed to, their campaigns point to, each once; other holders stay. And back again."""
    engine, _ = engines
    reference = metadata.tables["reference"]
    pointers = {
        ("row/spring-0123456789/a/b", "inputs/1"),
        ("row/spring-0123456789/c", "inputs/1"),
        ("row/spring-0123456789/c", "inputs/2"),
        ("row/autumn-0123456789/c", "inputs/1"),
        ("video/0123", "videos/1"),
        ("manifest/spring-0123456789", "inputs/m"),
    }
    schema.upgrade(engine, target="0001")
    with engine.begin() as connection:
        connection.execute(sa.insert(reference), [{"holder": holder, "key": key} for holder, key in sorted(pointers)])
    schema.upgrade(engine)
    of_campaigns = {
        ("inputs/spring-0123456789", "inputs/1"),
        ("inputs/spring-0123456789", "inputs/2"),
        ("inputs/autumn-0123456789", "inputs/1"),
        ("video/0123", "videos/1"),
        ("manifest/spring-0123456789", "inputs/m"),
    }
    with engine.connect() as connection:
        assert set(connection.execute(sa.select(reference)).tuples()) == of_campaigns
    schema.downgrade(engine, target="0001")
    schema.upgrade(engine)
    with engine.connect() as connection:
        assert set(connection.execute(sa.select(reference)).tuples()) == of_campaigns


def test_a_newer_ledger_is_refused(engines: tuple[Engine, Engine]) -> None:
    """A revision that this program does not know is refused with what to do, and not touched."""
    engine, _ = engines
    schema.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(Incompatible, match="9999") as caught:
        schema.upgrade(engine)
    assert "install" in caught.value.fix
    with engine.connect() as connection, pytest.raises(Incompatible, match="9999"):
        schema.check(connection)


def test_an_older_or_missing_ledger_is_not_worked_on(engines: tuple[Engine, Engine]) -> None:
    """Whoever does not upgrade is told that the ledger is missing or older, and how to mend it."""
    engine, _ = engines
    with engine.connect() as connection, pytest.raises(Incompatible, match="no ledger"):
        schema.check(connection)
    schema.upgrade(engine)
    with engine.connect() as connection:
        schema.check(connection)
    schema.downgrade(engine, target="base")
    with engine.connect() as connection, pytest.raises(Incompatible, match="no ledger"):
        schema.check(connection)


def upgrade_once(url: str) -> None:
    schema.upgrade(make_engine(parse_url(url)))


def test_many_upgrade_at_once(engines: tuple[Engine, Engine]) -> None:
    """Programs that start at the same moment upgrade one ledger once."""
    engine, _ = engines
    url = engine.url.set(drivername=engine.url.get_backend_name()).render_as_string(hide_password=False)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(upgrade_once, [url] * 3, chunksize=1)
    with engine.connect() as connection:
        schema.check(connection)


def test_threads_upgrade_ledgers_of_their_own(tmp_path: Path) -> None:
    """Threads that make several ledgers at the same moment do not get into each other's."""
    made = [make_engine(parse_url(f"sqlite:///{tmp_path / str(number)}.db")) for number in range(6)]
    with ThreadPoolExecutor(len(made)) as threads:
        list(threads.map(schema.upgrade, made))
    for engine in made:
        with engine.connect() as connection:
            schema.check(connection)
        engine.dispose()
