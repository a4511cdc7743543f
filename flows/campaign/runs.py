"""Flow runs of campaigns: asking for one, and finding those that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from schemas.campaign import Campaign

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

DEPLOYMENT = "callsheet"
"""Every flow has one deployment of this name."""
RENDER = f"render-campaign/{DEPLOYMENT}"


def prefect_client() -> SyncPrefectClient:
    """A client of the server in force; use it in a `with`."""
    from prefect.client.orchestration import get_client

    client: SyncPrefectClient = get_client(httpx_settings={"timeout": 30.0}, sync_client=True)
    return client


def request_render(campaign: Campaign, why: str) -> UUID | None:
    """Ask for a run that brings the campaign to its end; None where the deployment is not registered.

    Asked again for the same revision and coordinator, the same run is answered.
    """
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Scheduled

    with prefect_client() as client:
        try:
            deployment = client.read_deployment_by_name(RENDER)
        except ObjectNotFound:
            return None
        run = client.create_flow_run_from_deployment(
            deployment.id,
            name=f"render {campaign.name}",
            parameters={"campaign_id": campaign.campaign_id},
            tags=[f"campaign:{campaign.name}"],
            state=Scheduled(message=why),
            idempotency_key=f"{campaign.campaign_id}:{campaign.revision}:{campaign.coordinator_epoch}:{campaign.state}",
        )
        return run.id


def render_runs(client: SyncPrefectClient, states: list[str]) -> Iterator[FlowRun]:
    """Runs of `render-campaign` in these state types, the newest first, page by page."""
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = FlowRunFilter.model_validate({"state": {"type": {"any_": states}}})
    flow = FlowFilter(name=FlowFilterName(any_=["render-campaign"]))
    offset = 0
    while True:
        page = client.read_flow_runs(
            flow_filter=flow,
            flow_run_filter=wanted,
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=200,
            offset=offset,
        )
        yield from page
        if len(page) < 200:
            return
        offset += 200


def is_of(run: FlowRun, campaign: Campaign) -> bool:
    named: Any = run.parameters.get("campaign_id")
    return named in (campaign.campaign_id, campaign.name)
