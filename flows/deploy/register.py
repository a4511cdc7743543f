"""Register deployments, limits and automations. Run it as often as you like: what stands already is left as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.types.entrypoint import EntrypointType

from flows.campaign.runs import prefect_client
from flows.deploy.automations import automations
from flows.deploy.catalogue import ANCHOR, Deployed, Every, catalogue
from schemas.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


@dataclass(frozen=True, kw_only=True)
class Registered:
    deployments: tuple[str, ...]
    automations: tuple[str, ...]


def register_automations(settings: Settings) -> tuple[str, ...]:
    """Their names. The deployments need not stand yet."""
    with prefect_client() as client:
        return _ensure_automations(client, settings)


def register(settings: Settings, *, pool: str = "", pool_type: str = "process") -> Registered:
    """Everything of the catalogue. With `pool` its workers run the flows; without, `callsheet up` does.

    Raises:
        InvalidSettings: the catalogue cannot be made of these settings.
    """
    if pool:
        with prefect_client() as client:
            _ensure_pool(client, pool, pool_type)
    names = []
    for deployed in catalogue(settings):
        deployment = runner_deployment(deployed, pool=pool)
        deployment.apply()
        names.append(deployed.full_name)
    return Registered(deployments=tuple(names), automations=register_automations(settings))


def runner_deployment(deployed: Deployed, *, pool: str = "") -> RunnerDeployment:
    """The catalogue's entry as Prefect takes it."""
    return RunnerDeployment.from_flow(
        load_flow_from_entrypoint(deployed.entrypoint),
        name=deployed.name,
        schedules=[_schedule(every) for every in deployed.schedules],
        concurrency_limit=ConcurrencyLimitConfig(
            limit=deployed.limit, collision_strategy=ConcurrencyLimitStrategy(deployed.collision.value)
        ),
        parameters=deployed.parameters,
        description=deployed.description,
        tags=list(deployed.tags),
        work_pool_name=pool or None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _schedule(every: Every) -> DeploymentScheduleCreate:
    schedule: CronSchedule | IntervalSchedule
    if every.cron is not None:
        schedule = CronSchedule(cron=every.cron, timezone=every.timezone)
    else:
        # A fixed anchor: the same schedule every time it is registered.
        schedule = IntervalSchedule(
            interval=timedelta(seconds=every.interval_s or 0.0),
            anchor_date=datetime.fromisoformat(ANCHOR),
            timezone=every.timezone,
        )
    return DeploymentScheduleCreate(schedule=schedule, active=True, parameters=every.parameters, slug=every.slug)


def _ensure_pool(client: SyncPrefectClient, pool: str, pool_type: str) -> None:
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=pool, type=pool_type))


def _ensure_automations(client: SyncPrefectClient, settings: Settings) -> tuple[str, ...]:
    """A new trigger replaces an old one; actions that somebody changed stay."""
    names = []
    for wanted in automations(settings):
        found = client.read_automations_by_name(wanted.name)
        if not found:
            client.create_automation(wanted)
        elif found[0].trigger != wanted.trigger:
            client.update_automation(found[0].id, wanted.model_copy(update={"actions": found[0].actions}))
        names.append(wanted.name)
    return tuple(names)
