"""The requests that put a campaign into Prefect: artifacts patched in place, trackers, log lines, events, own state.

Every call is small, tries once, and may be made again: what was told already is found again, not told twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from prefect.client.schemas.objects import State, StateType
from prefect.states import Paused, Running, to_state_create

from flows.campaign.story import Line
from flows.campaign.trackers import Tracker
from schemas.redaction import Redactor

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

LOGGER = "prefect.flow_runs"
MOST_TEXT = 100_000
"""Characters of one artifact."""


@dataclass(kw_only=True)
class PrefectDesk:
    """One flow run's desk. Any method raises httpx's or Prefect's error when the server does not take it."""

    client: SyncPrefectClient
    run_id: UUID
    campaign_id: str
    redact: Redactor
    _artifacts: dict[str, tuple[UUID, str]] = field(default_factory=dict)
    """By noun: the artifact and what it shows."""
    _trackers: dict[str, tuple[UUID, Tracker]] = field(default_factory=dict)

    # -- artifacts -------------------------------------------------------------------------------------------------

    def artifact(self, noun: str, kind: str, data: object, description: str) -> None:
        """Make the campaign's artifact of that noun show `data`. There is one for all runs of the campaign."""
        text = data if isinstance(data, float) else self.redact(data if isinstance(data, str) else json.dumps(data))
        shown = f"{description}\n{text}"
        known = self._artifacts.get(noun) or self._find_artifact(noun)
        if known is not None and known[1] == shown:
            return
        said = {"data": text if isinstance(text, float) else text[:MOST_TEXT], "description": self.redact(description)}
        if known is None:
            key = artifact_key(self.campaign_id, noun)
            created = self._send(
                "POST", "/artifacts/", {"key": key, "type": kind, "flow_run_id": str(self.run_id)} | said
            )
            artifact_id = UUID(created["id"])
        else:
            artifact_id = known[0]
            self._send("PATCH", f"/artifacts/{artifact_id}", said)
        self._artifacts[noun] = (artifact_id, shown)

    def _find_artifact(self, noun: str) -> tuple[UUID, str] | None:
        key = artifact_key(self.campaign_id, noun)
        wanted = {"artifacts": {"key": {"any_": [key]}}, "limit": 1, "sort": "CREATED_DESC"}
        found = self._send("POST", "/artifacts/filter", wanted)
        return (UUID(found[0]["id"]), "") if found else None

    # -- trackers --------------------------------------------------------------------------------------------------

    def track(self, wanted: Iterable[Tracker]) -> None:
        """Make the run's task runs what is wanted; one request for each that changed."""
        for tracker in wanted:
            known = self._trackers.get(tracker.key)
            if known is not None and known[1] == tracker:
                continue
            state = State(type=StateType(tracker.state.value), message=self.redact(tracker.message))
            is_new = known is None or known[1].name != tracker.name
            task_run_id = self._create_tracker(tracker) if known is None or is_new else known[0]
            self._set_state(f"/task_runs/{task_run_id}/set_state", state)
            self._trackers[tracker.key] = (task_run_id, tracker)

    def _create_tracker(self, tracker: Tracker) -> UUID:
        """The same key in the same run is the same task run, whoever asks again."""
        created = self._send(
            "POST",
            "/task_runs/",
            {
                "name": self.redact(tracker.name),
                "flow_run_id": str(self.run_id),
                "task_key": "tracker",
                "dynamic_key": f"{tracker.key}:{tracker.name}",
                "tags": ["tracker"],
                "state": to_state_create(State(type=StateType.PENDING)).model_dump(mode="json"),
            },
        )
        return UUID(created["id"])

    # -- lines and events ------------------------------------------------------------------------------------------

    def write(self, lines: Sequence[tuple[datetime, Line]]) -> None:
        """Append to the flow run's log."""
        if lines:
            logs = [
                {
                    "name": LOGGER,
                    "level": line.level,
                    "message": self.redact(line.text),
                    "timestamp": when.isoformat(),
                    "flow_run_id": str(self.run_id),
                }
                for when, line in lines
            ]
            self._send("POST", "/logs/", logs)

    def announce(self, events: Sequence[tuple[datetime, str, Mapping[str, Any]]], name: str) -> None:
        """Events of the campaign: `(when, what, payload)`; automations may act on them."""
        if events:
            self._send("POST", "/events", [self._event(when, what, payload, name) for when, what, payload in events])

    def _event(self, when: datetime, what: str, payload: Mapping[str, Any], name: str) -> dict[str, Any]:
        return {
            "id": str(uuid4()),
            "occurred": when.isoformat(),
            "event": f"callsheet.{what}",
            "resource": {
                "prefect.resource.id": f"callsheet.campaign.{self.campaign_id}",
                "prefect.resource.name": self.redact(name),
            },
            "related": [
                {"prefect.resource.id": f"prefect.flow-run.{self.run_id}", "prefect.resource.role": "flow-run"}
            ],
            "payload": json.loads(self.redact(json.dumps(payload))),
        }

    # -- the run itself --------------------------------------------------------------------------------------------

    def run_state(self) -> str:
        """The type of this run's state as the server has it."""
        return str(self._send("GET", f"/flow_runs/{self.run_id}", None)["state_type"])

    def show_running(self, why: str) -> None:
        self._set_state(f"/flow_runs/{self.run_id}/set_state", Running(message=why))

    def show_paused(self, why: str) -> None:
        paused: State[Any] = Paused(timeout_seconds=10 * 365 * 86_400)
        paused.message = why
        self._set_state(f"/flow_runs/{self.run_id}/set_state", paused)

    def _set_state(self, path: str, state: State[Any]) -> None:
        said = to_state_create(state).model_dump(mode="json")
        self._send("POST", path, {"state": said, "force": True})

    def _send(self, method: str, path: str, body: object) -> Any:
        # `request` knows its routes by name; the client below it takes any.
        answer = self.client._client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def artifact_key(campaign_id: str, noun: str) -> str:
    """Prefect's keys are lower-case letters, digits and dashes."""
    safe = "".join(c if c.isascii() and c.isalnum() else "-" for c in campaign_id.lower())
    return f"{safe}-{noun}"


def utc_now() -> datetime:
    return datetime.now(UTC)
