"""Revisions of the ledger's schema. A revision, once released, is never edited; the next one follows it."""
