"""The shipped fake: a ledger in one process and no database, for tests, examples and dry thinking."""

from storage.ledger.memory.ledger import MemoryLedger

__all__ = ["MemoryLedger"]
