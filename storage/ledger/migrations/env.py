"""Runs revisions on the connection, and inside the transaction, that `storage.ledger.schema` has opened."""

from __future__ import annotations

from alembic import context

from storage.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
