"""The one gate that every change of state passes: the tables of `schemas.states` and nothing else decide."""

from __future__ import annotations

from schemas.errors import Refused
from schemas.states import (
    CAMPAIGN_CLAIMABLE,
    CAMPAIGN_TRANSITIONS,
    JOB_TRANSITIONS,
    VIDEO_TRANSITIONS,
    CampaignState,
    JobState,
    VideoState,
)


def campaign_step(source: CampaignState, target: CampaignState) -> CampaignState:
    """`target`, when a campaign may go there from `source`. Raises Refused, naming what it may become."""
    if target not in CAMPAIGN_TRANSITIONS[source]:
        raise _refused("campaign", source, target, sorted(CAMPAIGN_TRANSITIONS[source]))
    return target


def coordinators_step(source: CampaignState) -> None:
    """Raises Refused when a flow would move a campaign that does not run: a person may have paused it just now."""
    if source not in CAMPAIGN_CLAIMABLE:
        raise Refused(f"a campaign that is {source} is moved by people, not by its coordinator", fix="look on")


def campaign_end(target: CampaignState, unfinished: int) -> None:
    """Raises Refused when a campaign is to be done while videos of it have not ended.

    Whoever counted them a moment ago may have been overtaken by a retry or by a sheet with new rows.
    """
    if target in (CampaignState.DONE, CampaignState.DONE_WITH_ERRORS) and unfinished:
        raise Refused(
            f"a campaign with {unfinished} videos that have not ended cannot become {target}",
            fix="wait for them, or cancel the campaign",
        )


def video_step(source: VideoState, target: VideoState) -> VideoState:
    """`target`, when a video may go there from `source`. Raises Refused, naming what it may become."""
    if target not in VIDEO_TRANSITIONS[source]:
        raise _refused("video", source, target, sorted(VIDEO_TRANSITIONS[source]))
    return target


def job_step(source: JobState, target: JobState) -> JobState:
    """`target`, when a job may go there from `source`. Raises Refused, naming what it may become."""
    if target not in JOB_TRANSITIONS[source]:
        raise _refused("job", source, target, sorted(JOB_TRANSITIONS[source]))
    return target


def _refused(noun: str, source: str, target: str, known: list[str]) -> Refused:
    return Refused(
        f"a {noun} that is {source} cannot become {target}",
        fix=f"from {source} it may become {', '.join(known)}",
    )
