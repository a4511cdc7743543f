"""Ledgers of every kind for the tests of this folder."""

from tests.support.ledgers import bench, clock, empty_sqlite, ledger, shared_postgres, sql_url
from tests.support.postgres import postgres

__all__ = ["bench", "clock", "empty_sqlite", "ledger", "postgres", "shared_postgres", "sql_url"]
