"""The ledger: campaigns, rows, videos, jobs, clips, attempts and who points to which object.

Revision: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Spelt out, not imported: a released revision stays what it was when tables.py moves on.
_CLAIMABLE_JOB = "state = 'queued' AND NOT held"
_LEASED_JOB = "state = 'leased'"
_LIVE = "NOT retired"
_JOINABLE_VIDEO = "state = 'stitching' AND attempt_id IS NULL AND NOT held"
_LIVE_ATTEMPT = "ended_at IS NULL"


def upgrade() -> None:
    op.create_table(
        "attempt",
        sa.Column("attempt_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("campaign_id", sa.String(length=80), nullable=False),
        sa.Column("video_id", sa.String(length=80), nullable=False),
        sa.Column("row_id", sa.String(length=80), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("ttl", sa.Double(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("device_s", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("ended_by", sa.String(length=32), nullable=True),
        sa.Column("ending", sa.String(length=32), nullable=True),
        sa.Column("blame", sa.String(length=32), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=True),
        sa.Column("wait_s", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("attempt_pk")),
    )
    op.create_index(
        "attempt_at_work",
        "attempt",
        ["campaign_id"],
        unique=False,
        sqlite_where=sa.text(_LIVE_ATTEMPT),
        postgresql_where=sa.text(_LIVE_ATTEMPT),
    )
    op.create_index("attempt_cost", "attempt", ["campaign_id", "ending", "device_s"], unique=False)
    op.create_index(
        "attempt_expiring",
        "attempt",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text(_LIVE_ATTEMPT),
        postgresql_where=sa.text(_LIVE_ATTEMPT),
    )
    op.create_index("attempt_of_subject", "attempt", ["subject", "kind", "round"], unique=False)
    op.create_index("attempt_of_video", "attempt", ["video_id", "row_id"], unique=False)
    op.create_table(
        "campaign",
        sa.Column("campaign_id", sa.String(length=80), nullable=False),
        sa.Column("team", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("coordinator", sa.Text(), nullable=False),
        sa.Column("coordinator_epoch", sa.Integer(), nullable=False),
        sa.Column("coordinator_expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("campaign_pk")),
        sa.UniqueConstraint("team", "name", name=op.f("campaign_team_name")),
    )
    op.create_table(
        "clip",
        sa.Column("render_key", sa.String(length=64), nullable=False),
        sa.Column("clip", sa.Text(), nullable=False),
        sa.Column("committed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("render_key", name=op.f("clip_pk")),
    )
    op.create_table(
        "reference",
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("holder", "key", name=op.f("reference_pk")),
    )
    op.create_index("reference_by_key", "reference", ["key"], unique=False)
    op.create_table(
        "video",
        sa.Column("video_id", sa.String(length=80), nullable=False),
        sa.Column("campaign_id", sa.String(length=80), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.String(length=32), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("order_key", sa.Double(), nullable=False),
        sa.Column("publication", sa.Text(), nullable=True),
        sa.Column("error_code", sa.String(length=32), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("error_blame", sa.String(length=32), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaign.campaign_id"],
            name=op.f("video_campaign_id_to_campaign"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("video_id", name=op.f("video_pk")),
    )
    op.create_index(
        "video_counts",
        "video",
        ["campaign_id", "state", "rows"],
        unique=False,
        sqlite_where=sa.text(_LIVE),
        postgresql_where=sa.text(_LIVE),
    )
    op.create_index(
        "video_next",
        "video",
        ["order_key", "video_id", "due_at"],
        unique=False,
        sqlite_where=sa.text(_JOINABLE_VIDEO),
        postgresql_where=sa.text(_JOINABLE_VIDEO),
    )
    op.create_index(
        "video_next_of_campaign",
        "video",
        ["campaign_id", "order_key", "video_id", "due_at"],
        unique=False,
        sqlite_where=sa.text(_JOINABLE_VIDEO),
        postgresql_where=sa.text(_JOINABLE_VIDEO),
    )
    op.create_table(
        "job",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("campaign_id", sa.String(length=80), nullable=False),
        sa.Column("video_id", sa.String(length=80), nullable=False),
        sa.Column("row_id", sa.String(length=80), nullable=False),
        sa.Column("clip_index", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.String(length=32), nullable=True),
        sa.Column("render_key", sa.String(length=64), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("enqueued_at", sa.Double(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("order_key", sa.Double(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("estimated_s", sa.Double(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["video_id"], ["video.video_id"], name=op.f("job_video_id_to_video"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("job_pk")),
    )
    op.create_index(
        "job_counts",
        "job",
        ["campaign_id", "state", "reused", "frames"],
        unique=False,
        sqlite_where=sa.text(_LIVE),
        postgresql_where=sa.text(_LIVE),
    )
    op.create_index(
        "job_leased_key",
        "job",
        ["render_key"],
        unique=True,
        sqlite_where=sa.text(_LEASED_JOB),
        postgresql_where=sa.text(_LEASED_JOB),
    )
    op.create_index(
        "job_next",
        "job",
        ["pool", "order_key", "job_id", "due_at"],
        unique=False,
        sqlite_where=sa.text(_CLAIMABLE_JOB),
        postgresql_where=sa.text(_CLAIMABLE_JOB),
    )
    op.create_index(
        "job_next_of_campaign",
        "job",
        ["campaign_id", "pool", "order_key", "job_id", "due_at"],
        unique=False,
        sqlite_where=sa.text(_CLAIMABLE_JOB),
        postgresql_where=sa.text(_CLAIMABLE_JOB),
    )
    op.create_index(
        "job_next_warm",
        "job",
        ["pool", "bucket", "order_key", "job_id", "due_at"],
        unique=False,
        sqlite_where=sa.text(_CLAIMABLE_JOB),
        postgresql_where=sa.text(_CLAIMABLE_JOB),
    )
    op.create_index(
        "job_next_warm_of_campaign",
        "job",
        ["campaign_id", "pool", "bucket", "order_key", "job_id", "due_at"],
        unique=False,
        sqlite_where=sa.text(_CLAIMABLE_JOB),
        postgresql_where=sa.text(_CLAIMABLE_JOB),
    )
    op.create_index("job_of_key", "job", ["render_key", "state"], unique=False)
    op.create_index("job_of_video", "job", ["video_id", "row_id"], unique=False)
    op.create_table(
        "manifest_row",
        sa.Column("campaign_id", sa.String(length=80), nullable=False),
        sa.Column("row_id", sa.String(length=80), nullable=False),
        sa.Column("video_id", sa.String(length=80), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("byte_start", sa.BigInteger(), nullable=False),
        sa.Column("byte_end", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("said", sa.String(length=64), nullable=False),
        sa.Column("shot", sa.Text(), nullable=True),
        sa.Column("problems", sa.Text(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["video.video_id"],
            name=op.f("manifest_row_video_id_to_video"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("campaign_id", "row_id", name=op.f("manifest_row_pk")),
    )
    op.create_index(
        "row_in_order",
        "manifest_row",
        ["campaign_id", "position"],
        unique=False,
        sqlite_where=sa.text(_LIVE),
        postgresql_where=sa.text(_LIVE),
    )
    op.create_index("row_of_video", "manifest_row", ["video_id"], unique=False)


def downgrade() -> None:
    for table in ("manifest_row", "job", "video", "reference", "clip", "campaign", "attempt"):
        op.drop_table(table)
