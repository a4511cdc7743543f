"""The database's clock as one SQL expression: the only clock that leases know."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement


class database_now(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it stands for
    """Seconds since the epoch, with parts of a second, at the moment the statement runs."""

    type = Double()
    inherit_cache = True
    name = "database_now"


@compiles(database_now, "sqlite")
def _sqlite(_element: Any, _compiler: Any, **_kw: Any) -> str:
    # unixepoch('subsec') exists from SQLite 3.42 on; 2440587.5 is the Julian day of the epoch.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql(_element: Any, _compiler: Any, **_kw: Any) -> str:
    # now() stands still inside a transaction; a lease that waited for a lock must not be born old.
    return "extract(epoch FROM clock_timestamp())::double precision"
