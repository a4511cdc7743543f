"""The ledger in SQL: SQLite for one machine, PostgreSQL for many; the same statements on both."""

from storage.ledger.sql.ledger import SqlLedger

__all__ = ["SqlLedger"]
