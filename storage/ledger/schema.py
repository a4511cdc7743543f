"""The schema's revisions: creating, upgrading, and refusing what this program does not know."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from schemas.errors import Incompatible
from storage.ledger.sql.engine import to_write

if TYPE_CHECKING:
    from alembic.config import Config

# alembic is imported only where a ledger is not at HEAD already: it takes a good part of the time in which a command
# starts.

HEAD = "0002"
"""The revision that this program works on: the last of the scripts in `migrations/`."""

_LOCK = 0x63616C6C
"""Any number will do, as long as nobody else uses it in the same database: "call"."""

_ALONE = threading.Lock()
"""alembic keeps the migration under way in globals: two threads would create each other's tables."""


_WITH_ALL_CHARACTERS = frozenset({"UTF8", "SQL_ASCII"})
"""Encodings of PostgreSQL's that keep any text; SQL_ASCII keeps the bytes it is given, and ours are UTF-8."""

_VERSION = sa.table("alembic_version", sa.column("version_num"))
"""alembic's own record of the revision that a database is at."""


def revision_of(connection: Connection) -> str | None:
    """The ledger's revision; None where there is no ledger yet."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    found: str | None = connection.execute(sa.select(_VERSION.c.version_num)).scalar()
    return found


def upgrade(engine: Engine, *, target: str = "head") -> None:
    """Create the tables or bring them up to `target`. Any number of programs and threads may do so at once.

    Raises:
        Incompatible: a newer program has changed the ledger in ways that this one does not know, or the database
            cannot keep every text.
    """
    with _ALONE, engine.connect() as connection:
        _require_all_characters(connection)
        conn = to_write(connection)
        with conn.begin():
            if conn.dialect.name == "postgresql":
                conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            found = revision_of(conn)
            if target == "head" and found == HEAD:
                return
            _require_known(found)
            from alembic import command

            command.upgrade(_config(conn), target)


def downgrade(engine: Engine, *, target: str) -> None:
    """Take revisions back down to `target`; `base` removes every table and all that is in them."""
    with _ALONE, engine.connect() as connection:
        conn = to_write(connection)
        with conn.begin():
            from alembic import command

            command.downgrade(_config(conn), target)


def check(connection: Connection) -> None:
    """Raises Incompatible when the ledger's revision is not the one that this program works on, or as `upgrade`."""
    _require_all_characters(connection)
    found = revision_of(connection)
    if found is None:
        raise Incompatible("the database holds no ledger", fix="submit a campaign first; that creates it")
    if found == HEAD:
        return
    _require_known(found)
    raise Incompatible(
        f"the ledger is at revision {found}, this program works on {HEAD}",
        fix="let running workers drain, then run `callsheet doctor` with this version: it upgrades the ledger",
    )


def _require_known(found: str | None) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise Incompatible(
            f"the ledger is at revision {found}, which this program does not know; it knows up to {HEAD}",
            fix="a newer callsheet has upgraded the ledger: install that version here too",
        )


def _require_all_characters(connection: Connection) -> None:
    """Said when the ledger is opened: the first prompt with a character too many would say it in the middle of a
    submit."""
    if connection.dialect.name != "postgresql":
        return
    raw: Any = connection.connection.dbapi_connection
    encoding: str | None = raw.info.parameter_status("server_encoding")  # told at each login; some poolers do not
    if encoding is not None and encoding not in _WITH_ALL_CHARACTERS:
        raise Incompatible(
            f"the database {raw.info.dbname} keeps its texts in {encoding}, which lacks most characters; expected UTF8",
            fix="CREATE DATABASE callsheet TEMPLATE template0 ENCODING 'UTF8', and name that one",
        )


def _config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    # Resolved inside the installed package, so that no alembic.ini and no working directory matter.
    config.set_main_option("script_location", "storage.ledger:migrations")
    if connection is not None:
        config.attributes["connection"] = connection
    return config
