"""What is deployed: every flow with its schedules, limits and tags. `prefect.yaml` says the same; a test compares."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from zoneinfo import available_timezones

from flows.campaign.runs import DEPLOYMENT
from schemas.errors import InvalidSettings
from schemas.settings import Settings

JANITOR_EVERY_S = 120.0
NIGHTLY = "17 4 * * *"
"""After four in the morning: clocks change before that everywhere, so that no night has two such minutes or none."""
ANCHOR = "2025-01-01T00:00:00+00:00"


class Collision(StrEnum):
    """What a run does that would be one too many."""

    ENQUEUE = "ENQUEUE"
    CANCEL_NEW = "CANCEL_NEW"


@dataclass(frozen=True, kw_only=True)
class Every:
    """A schedule: by interval in seconds, or by cron; times are of an IANA time zone."""

    timezone: str
    interval_s: float | None = None
    cron: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    slug: str = ""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """One deployment."""

    flow: str
    """Name of the flow."""
    entrypoint: str
    """`package.module.function`: wherever callsheet is installed, it is found."""
    description: str
    tags: tuple[str, ...]
    limit: int
    collision: Collision = Collision.ENQUEUE
    schedules: tuple[Every, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return DEPLOYMENT

    @property
    def full_name(self) -> str:
        return f"{self.flow}/{self.name}"


def catalogue(settings: Settings) -> tuple[Deployed, ...]:
    """All of it for one installation.

    Raises:
        InvalidSettings: `timezone` is no IANA time zone.
    """
    zone = settings.timezone
    if zone not in available_timezones():
        raise InvalidSettings(f"timezone is {zone!r}", fix="name an IANA time zone such as Europe/Berlin")
    return (
        Deployed(
            flow="submit-campaign",
            entrypoint="flows.campaign.flows.submit_campaign",
            description="Make a campaign out of a sheet: a path here, or s3://bucket/folder/sheet.csv.",
            tags=("callsheet", "campaign"),
            limit=4,
        ),
        Deployed(
            flow="render-campaign",
            entrypoint="flows.campaign.flows.render_campaign",
            description="Bring a submitted campaign to its end. Cancel, Pause, Resume and Retry do what they say.",
            tags=("callsheet", "campaign"),
            limit=100,
        ),
        Deployed(
            flow="export-campaign",
            entrypoint="flows.campaign.flows.export_campaign",
            description="Write results, report and gallery of a campaign as it stands now.",
            tags=("callsheet", "campaign"),
            limit=2,
        ),
        Deployed(
            flow="sweep-inbox",
            entrypoint="flows.inbox.flow.sweep_inbox",
            description="Make campaigns of the sheets in the inbox.",
            tags=("callsheet", "routine"),
            limit=1,
            collision=Collision.CANCEL_NEW,
            schedules=(Every(interval_s=settings.inbox_every, timezone=zone, slug="sweep"),),
        ),
        Deployed(
            flow="janitor",
            entrypoint="flows.janitor_flow.janitor",
            description="End expired leases, start successors of dead flows, put Prefect right, tidy up.",
            tags=("callsheet", "routine"),
            limit=1,
            collision=Collision.CANCEL_NEW,
            schedules=(
                Every(interval_s=JANITOR_EVERY_S, timezone=zone, slug="round"),
                Every(cron=NIGHTLY, timezone=zone, parameters={"orphans": True}, slug="nightly"),
            ),
        ),
        Deployed(
            flow="build-dataset",
            entrypoint="flows.dataset.build_dataset",
            description="Make what is missing of a training set; it runs where model_runtime is installed.",
            tags=("callsheet", "training"),
            limit=1,
        ),
    )
