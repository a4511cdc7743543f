"""Automations that a self-hosted server does not have by itself."""

from __future__ import annotations

from datetime import timedelta

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, DoNothing
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.reconcile import SILENT_BEATS
from schemas.settings import Settings

SILENT = "callsheet: silent runs"
TROUBLE = "callsheet: campaigns in trouble"


def automations(settings: Settings) -> tuple[AutomationCore, ...]:
    """A run that says nothing for four heartbeats is shown as crashed; it is shown as running again when it lives.

    Campaigns that end badly fire the other one. Its action is to do nothing but be seen: put your own notification
    there, `callsheet deploy` leaves it alone.
    """
    silence = timedelta(seconds=SILENT_BEATS * settings.heartbeat_s)
    return (
        AutomationCore(
            name=SILENT,
            description="A run without a sign of life is shown as crashed; the janitor starts a successor.",
            trigger=EventTrigger(
                after={"prefect.flow-run.heartbeat"},
                expect={
                    "prefect.flow-run.heartbeat",
                    "prefect.flow-run.Completed",
                    "prefect.flow-run.Failed",
                    "prefect.flow-run.Cancelled",
                    "prefect.flow-run.Crashed",
                    "prefect.flow-run.DoneWithErrors",
                    "prefect.flow-run.DoneWithGaps",
                    "prefect.flow-run.Stopped*",
                },
                match={"prefect.resource.id": "prefect.flow-run.*"},
                match_related={"prefect.resource.role": "flow", "prefect.resource.name": "render-campaign"},
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=silence,
            ),
            actions=[
                ChangeFlowRunState(
                    state=StateType.CRASHED, name="Crashed", message="no sign of life from its process", force=True
                )
            ],
        ),
        AutomationCore(
            name=TROUBLE,
            description="Seen when a campaign ends with failures or is stopped. Add your notification as its action.",
            trigger=EventTrigger(
                expect={
                    "callsheet.campaign.done_with_errors",
                    "callsheet.campaign.stopped_budget",
                    "callsheet.campaign.stopped_failures",
                },
                match={"prefect.resource.id": "callsheet.campaign.*"},
                for_each={"prefect.resource.id"},
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(seconds=0),
            ),
            actions=[DoNothing()],
        ),
    )
