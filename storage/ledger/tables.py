"""The ledger's tables: the one home of their names, columns and indexes (docs/ledger.md says why they are so).

Times are seconds since the epoch on the database's clock. Values of `schemas` rest as JSON text. The predicates
below stand in partial indexes and, word for word, in the queries that use them: neither SQLite nor PostgreSQL proves
that a bound parameter implies an index's WHERE.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s",
        "fk": "%(table_name)s_%(column_0_name)s_to_%(referred_table_name)s",
    }
)

CLAIMABLE_JOB = "state = 'queued' AND NOT held"
LEASED_JOB = "state = 'leased'"
LIVE = "NOT retired"
JOINABLE_VIDEO = "state = 'stitching' AND attempt_id IS NULL AND NOT held"
LIVE_ATTEMPT = "ended_at IS NULL"


def live(table: FromClause) -> ColumnElement[bool]:
    """`LIVE` for one table of a join: rows, videos and jobs that the manifest still asks for."""
    return sa.literal_column(f"NOT {table.description}.retired")


# SQLite counts rows by itself only in an INTEGER primary key.
_Serial = BigInteger().with_variant(Integer(), "sqlite")

# Pages follow the order of bytes, as object stores list; a server's own collation may be another.
_Key = Text().with_variant(Text(collation="C"), "postgresql")


class _Utf8(TypeDecorator[str]):
    """SQLite would keep bytes as bytes; said to be text, they are what a str of them would have been.

    PostgreSQL is told by each connection (`storage/ledger/sql/utf8.py`).
    """

    impl = Text
    cache_ok = True

    def bind_expression(self, bindparam: BindParameter[str]) -> ColumnElement[str]:
        return sa.cast(bindparam, Text)


# May be handed over as UTF-8, as it was made; it is read as str.
_LongText = Text().with_variant(_Utf8(), "sqlite")


def _id() -> String:
    return String(80)


def _word() -> String:
    return String(32)


def _parent(column: str) -> ForeignKey:
    # Checked at commit: inside one submit children come first, videos are known only when all rows are read.
    return ForeignKey(column, deferrable=True, initially="DEFERRED")


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


campaign = Table(
    "campaign",
    metadata,
    Column("campaign_id", _id(), primary_key=True),
    Column("team", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("state", _word(), nullable=False),
    Column("settings", Text, nullable=False),
    Column("manifest", Text),
    Column("revision", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("coordinator", Text, nullable=False),
    Column("coordinator_epoch", Integer, nullable=False),
    Column("coordinator_expires_at", Double, nullable=False),
    UniqueConstraint("team", "name"),
)

video = Table(
    "video",
    metadata,
    Column("video_id", _id(), primary_key=True),
    Column("campaign_id", _id(), _parent("campaign.campaign_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("state", _word(), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("attempt_id", String(32)),
    Column("held", Boolean, nullable=False),
    Column("retired", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("order_key", Double, nullable=False),
    Column("publication", Text),
    Column("error_code", _word(), nullable=False),
    Column("error", Text, nullable=False),
    Column("error_blame", _word(), nullable=False),
    Column("ended_at", Double),
    _partial("video_counts", "campaign_id", "state", "rows", where=LIVE),
    _partial("video_next", "order_key", "video_id", "due_at", where=JOINABLE_VIDEO),
    _partial("video_next_of_campaign", "campaign_id", "order_key", "video_id", "due_at", where=JOINABLE_VIDEO),
)

row = Table(
    "manifest_row",
    metadata,
    Column("campaign_id", _id(), primary_key=True),
    Column("row_id", _id(), primary_key=True),
    Column("video_id", _id(), _parent("video.video_id"), nullable=False),
    Column("line", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("byte_start", BigInteger, nullable=False),
    Column("byte_end", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("content", String(64), nullable=False),
    Column("said", String(64), nullable=False),
    Column("shot", _LongText),
    Column("problems", Text, nullable=False),
    Column("retired", Boolean, nullable=False),
    _partial("row_in_order", "campaign_id", "position", where=LIVE),
    # Whole, not partial: SQLite looks children of a new parent up here at each insert.
    Index("row_of_video", "video_id"),
)

job = Table(
    "job",
    metadata,
    Column("job_id", _Serial, primary_key=True),
    Column("campaign_id", _id(), nullable=False),
    Column("video_id", _id(), _parent("video.video_id"), nullable=False),
    Column("row_id", _id(), nullable=False),
    Column("clip_index", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", _word(), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("attempt_id", String(32)),
    Column("render_key", String(64), nullable=False),
    Column("pool", Text, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("retired", Boolean, nullable=False),
    Column("reused", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("enqueued_at", Double, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("order_key", Double, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("estimated_s", Double, nullable=False),
    Column("job", _LongText, nullable=False),
    Index("job_of_video", "video_id", "row_id"),
    Index("job_of_key", "render_key", "state"),
    _partial("job_counts", "campaign_id", "state", "reused", "frames", where=LIVE),
    _partial("job_next", "pool", "order_key", "job_id", "due_at", where=CLAIMABLE_JOB),
    _partial("job_next_warm", "pool", "bucket", "order_key", "job_id", "due_at", where=CLAIMABLE_JOB),
    _partial("job_next_of_campaign", "campaign_id", "pool", "order_key", "job_id", "due_at", where=CLAIMABLE_JOB),
    _partial(
        "job_next_warm_of_campaign",
        "campaign_id",
        "pool",
        "bucket",
        "order_key",
        "job_id",
        "due_at",
        where=CLAIMABLE_JOB,
    ),
    # Two workers never render the same clip at once: the second claim of a twin breaks this and looks again.
    _partial("job_leased_key", "render_key", where=LEASED_JOB, unique=True),
)

clip = Table(
    "clip",
    metadata,
    Column("render_key", String(64), primary_key=True),
    Column("clip", Text, nullable=False),
    Column("committed_at", Double, nullable=False),
)

# An attempt under way is the lease: there is no second place where an expiry is kept.
attempt = Table(
    "attempt",
    metadata,
    Column("attempt_id", String(32), primary_key=True),
    Column("kind", _word(), nullable=False),
    Column("subject", _id(), nullable=False),
    Column("campaign_id", _id(), nullable=False),
    Column("video_id", _id(), nullable=False),
    Column("row_id", _id(), nullable=False),
    Column("worker", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("ttl", Double, nullable=False),
    Column("phase", Text, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("device_s", Double, nullable=False),
    Column("ended_at", Double),
    Column("ended_by", _word()),
    Column("ending", _word()),
    Column("blame", _word()),
    Column("message", Text, nullable=False),
    Column("verdict", _word()),
    Column("wait_s", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Index("attempt_of_subject", "subject", "kind", "round"),
    Index("attempt_of_video", "video_id", "row_id"),
    Index("attempt_cost", "campaign_id", "ending", "device_s"),
    _partial("attempt_expiring", "expires_at", where=LIVE_ATTEMPT),
    _partial("attempt_at_work", "campaign_id", where=LIVE_ATTEMPT),
)

reference = Table(
    "reference",
    metadata,
    Column("holder", String(200), primary_key=True),
    Column("key", _Key, primary_key=True),
    Index("reference_by_key", "key"),
)
