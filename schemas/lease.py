"""The right to finish one piece of work. Every write by a worker takes its lease, never an id."""

from __future__ import annotations

from enum import StrEnum

from schemas.job import RenderJob
from schemas.object_ref import Value


class LeaseKind(StrEnum):
    RENDER = "render"
    JOIN = "join"


class Lease(Value):
    """`epoch` is the fencing token: a write whose epoch is not the ledger's affects no row."""

    kind: LeaseKind
    subject: str
    """Id of the job (render) or of the video (join)."""
    campaign_id: str
    video_id: str
    epoch: int
    attempt_id: str
    """Random; part of every object key that this attempt writes."""
    worker: str
    expires_at: float
    """Seconds since the epoch on the database's clock."""
    ttl: float
    job: RenderJob | None = None
    """What to render; None for a join."""

    @property
    def object_stem(self) -> str:
        """Unique among all attempts ever, even when a restored database repeats epochs."""
        return f"{self.epoch:06d}-{self.attempt_id}"


class Signal(StrEnum):
    """What a heartbeat answers."""

    CONTINUE = "continue"
    CANCEL = "cancel"
    """The campaign is being cancelled: stop at the next frame batch and release."""


class Progress(Value):
    """How far a piece of work is. `done` of `total` units inside `phase`."""

    phase: str
    done: int = 0
    total: int = 0


class WorkerIdentity(Value):
    """Who claims, and what it can render without warming up again."""

    worker: str
    """Stable name: host and slot."""
    pool: str = ""
    """Serves jobs of this pool only; empty for joins."""
    warm_bucket: str = ""
    campaign_id: str = ""
    """Serves only this campaign when set."""
