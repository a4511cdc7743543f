"""From rows of the tables to values of `schemas`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from schemas.attempt import Attempt
from schemas.campaign import Campaign, CampaignSettings, ManifestRef
from schemas.clip import Clip
from schemas.digest import canonical_json
from schemas.job import RenderJob
from schemas.problem import Code, RowProblem
from schemas.states import Blame, CampaignState, Ending
from storage.ledger.sql.prepared import Record


def to_campaign(record: Record) -> Campaign:
    return Campaign(
        campaign_id=record["campaign_id"],
        name=record["name"],
        team=record["team"],
        state=CampaignState(record["state"]),
        settings=to_settings(record["settings"]),
        manifest=ManifestRef.model_validate_json(record["manifest"]) if record["manifest"] else None,
        revision=record["revision"],
        created_at=record["created_at"],
        updated_at=record["updated_at"],
        coordinator=record["coordinator"],
        coordinator_epoch=record["coordinator_epoch"],
    )


def to_settings(text: str) -> CampaignSettings:
    return CampaignSettings.model_validate_json(text)


def to_job(text: str) -> RenderJob:
    return RenderJob.model_validate_json(text)


def to_clip(text: str) -> Clip:
    return Clip.model_validate_json(text)


def to_attempt(record: Record) -> Attempt:
    return Attempt(
        attempt_id=record["attempt_id"],
        subject=record["subject"],
        worker=record["worker"],
        epoch=record["epoch"],
        round=record["round"],
        started_at=record["started_at"],
        ended_at=record["ended_at"],
        ending=Ending(record["ending"]) if record["ending"] else None,
        blame=Blame(record["blame"]) if record["blame"] else None,
        phase=record["phase"],
        message=record["message"],
        device_s=record["device_s"],
    )


def problems_text(problems: Sequence[RowProblem]) -> str:
    return canonical_json([problem.as_dict() for problem in problems]) if problems else "[]"


def to_problems(text: str) -> tuple[RowProblem, ...]:
    return tuple(RowProblem(**{**problem, "code": Code(problem["code"])}) for problem in json.loads(text))
