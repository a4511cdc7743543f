"""From a URL to a ledger."""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from schemas.errors import NotFound
from storage.ledger import schema
from storage.ledger.memory import MemoryLedger
from storage.ledger.options import LedgerOptions
from storage.ledger.protocol import Ledger
from storage.ledger.sql.database import Database
from storage.ledger.sql.engine import make_engine, parse_url, sqlite_file
from storage.ledger.sql.ledger import SqlLedger
from storage.ledger.sql.trouble import Patience


def open_ledger(url: str, *, options: LedgerOptions, create: bool) -> Ledger:
    """The ledger at `sqlite:///path`, `postgresql://...` or, for this process alone, `memory:`.

    With `create` a missing ledger is made and an older one upgraded; without, neither happens.

    Raises:
        InvalidSettings: the URL names no database that the ledger speaks.
        NotFound: there is no SQLite file, and `create` is False.
        Incompatible: the ledger's revision is another than this program's.
        Retryable: the database is away.
    """
    if url == "memory:":
        return MemoryLedger(options=options)
    parsed = parse_url(url)
    file = sqlite_file(parsed)
    if file is not None and not file.exists():
        if not create:
            raise NotFound(f"there is no ledger at {file}", fix="submit a campaign first; that creates it")
        file.parent.mkdir(parents=True, exist_ok=True)
    engine = make_engine(parsed)
    try:
        _ensure_schema(engine, create=create)
    except BaseException:
        engine.dispose()
        raise
    return SqlLedger(Database(engine, options))


def _ensure_schema(engine: Engine, *, create: bool) -> None:
    patience = Patience()
    while True:
        try:
            if create:
                schema.upgrade(engine)
            else:
                with engine.connect() as connection:
                    schema.check(connection)
        except DBAPIError as error:
            patience.after(error)
        else:
            return
