"""What Prefect shows of a campaign, and what people ask of it there. It shows; it is never asked what is done.

A thread of its own looks at the ledger and tells Prefect, so that a server that is slow or away costs rendering
nothing. What could not be told waits, and is told when the server is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.campaign import story
from flows.campaign.closing import Closing
from flows.campaign.coordinator import Snapshot
from flows.campaign.prefect_desk import PrefectDesk, utc_now
from flows.campaign.story import Facts, FailureBook, Line
from flows.campaign.trackers import MOST_TRACKERS, trackers
from flows.campaign.two_ways import Follow, follow
from schemas.campaign import Campaign
from schemas.errors import CallsheetError, Refused, Retryable
from schemas.redaction import Redactor
from schemas.settings import Settings
from schemas.states import CAMPAIGN_ENDED, CampaignState, VideoState
from schemas.status import EndedVideo
from storage.places import open_ledger_of

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

    from storage.ledger.protocol import Ledger

log = logging.getLogger("callsheet.prefect")

AWAY_MAX_S = 15.0
"""Longest pause between two tries to reach a server that is away."""
MOST_WAITING = 20_000
"""Log lines and events kept for a server that is away; the oldest go first."""
ENDED_AT_ONCE = 500
HURRY_S = 5.0
"""How long an interrupted run waits for Prefect."""
_AWAY = (httpx.HTTPError, PrefectHTTPStatusError, OSError, RuntimeError)


class _Gone(Exception):
    """The run was deleted: there is nobody to tell."""


class PrefectView:
    """Observer of one flow run; a context manager inside the flow. `close` tells the end and waits for it.

    `since` is the ledger's time before the run did anything: what ends after it is told.
    """

    def __init__(self, campaign: Campaign, settings: Settings, *, since: float) -> None:
        self._campaign_id = campaign.campaign_id
        self._since = since
        self._settings = settings
        self._client, self._run_id = _client_of_this_run()
        self._observing = False
        self._closing: Closing | None = None
        self._begun = threading.Event()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._hurry_s = HURRY_S
        self._thread = threading.Thread(target=self._live, name="prefect-view", daemon=True)

    @property
    def run_id(self) -> UUID:
        return self._run_id

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._hurry.set()
        self.close()

    def snapshot(self, snapshot: Snapshot) -> None:
        """The coordinator's round: says whether this run coordinates, and when it is over."""
        self._observing = snapshot.observing
        self._begun.set()

    def close(self, closing: Closing | None = None) -> None:
        """Tell the end; returns when it is told, or when Prefect was away for too long."""
        if self._closing is None:
            self._closing = closing or Closing()
        self._wake.set()
        self._begun.set()
        self._thread.join(self._hurry_s if self._hurry.is_set() else None)

    def allow(self, seconds: float) -> None:
        """An interrupted run may take so long to tell its end, when that is more than usual."""
        self._hurry_s = max(HURRY_S, seconds)

    def obey(self) -> bool:
        """Whether a person cancelled this run in Prefect; if so the ledger knows it when this returns."""
        try:
            with self._speaking() as client, _opened(self._settings) as ledger:
                desk = self._desk(client)
                if desk.run_state() != "CANCELLING":
                    return False
                ledger.cancel(self._campaign_id)
                return True
        except (CallsheetError, *_AWAY) as error:
            log.warning("cannot ask Prefect why this run is stopped: %s", type(error).__name__)
            return False

    # -- the thread ------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        # Before the first round nobody knows whether this run coordinates or looks on.
        self._begun.wait()
        try:
            with self._speaking() as client, _opened(self._settings) as ledger:
                self._tell(_Teller(self._desk(client), ledger, self._campaign_id, self._since))
        except _Gone:
            log.warning("this run is not in Prefect any more; the campaign goes on without it")
        except Exception:
            log.exception("Prefect is told nothing more; the campaign goes on")

    def _tell(self, teller: _Teller) -> None:
        pause = self._settings.prefect_every_s
        deadline: float | None = None
        while True:
            closing = self._closing
            told = teller.look(observing=self._observing, closing=closing)
            if closing is not None:
                deadline = deadline or time.monotonic() + self._settings.prefect_patience_s
                if told or self._hurry.is_set() or time.monotonic() > deadline:
                    return
            pause = self._settings.prefect_every_s if told else min(AWAY_MAX_S, pause * 2)
            self._wake.wait(pause)
            if self._closing is not None and not told:
                time.sleep(min(1.0, pause))

    def _desk(self, client: SyncPrefectClient) -> PrefectDesk:
        return PrefectDesk(
            client=client, run_id=self._run_id, campaign_id=self._campaign_id, redact=Redactor.of(self._settings)
        )

    def _speaking(self) -> _Speaking:
        return _Speaking(self._client)


class _Teller:
    """What the thread remembers between two looks."""

    def __init__(self, desk: PrefectDesk, ledger: Ledger, campaign_id: str, since: float) -> None:
        self._desk, self._ledger, self._campaign_id = desk, ledger, campaign_id
        self._facts: Facts | None = None
        self._first: Facts | None = None
        """The look that the pace is reckoned from."""
        self._looked_on = False
        self._since = since
        self._run = "RUNNING"
        self._book = FailureBook()
        self._lines: deque[tuple[datetime, Line]] = deque(maxlen=MOST_WAITING)
        self._events: deque[tuple[datetime, str, dict[str, Any]]] = deque(maxlen=MOST_WAITING)
        self._away_since: float | None = None
        self._ledger_before = CampaignState.RUNNING
        self._said_kept = False
        self._failed_before: tuple[EndedVideo, ...] = ()

    def look(self, *, observing: bool, closing: Closing | None) -> bool:
        """One round; False when the server or the ledger is away and the same has to be told again."""
        try:
            facts = self._gather()
            self._note(facts, observing=observing)
            self._follow(facts, closing)
            self._show(facts, observing=observing, closing=closing)
        except Retryable:
            return False
        except (ObjectNotFound, PrefectHTTPStatusError, httpx.HTTPStatusError) as error:
            if _is_missing(error):
                raise _Gone from error
            return self._was_away(error)
        except _AWAY as error:
            return self._was_away(error)
        if self._away_since is not None:
            log.warning("Prefect is back after %.0f s", time.monotonic() - self._away_since)
            self._away_since = None
        return True

    def _was_away(self, error: BaseException) -> bool:
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.warning("Prefect is away (%s); the campaign goes on", type(error).__name__)
        return False

    def _gather(self) -> Facts:
        now = self._ledger.now()
        if self._facts is None:
            # What ended before this run began is in the opening's counts; failures are wanted in the table.
            found = self._ledger.ended(self._campaign_id, after=0.0, limit=10 * ENDED_AT_ONCE)
            earlier = [one for one in found if one.ended_at <= self._since]
            self._book.add(earlier)
            self._failed_before = tuple(one for one in earlier if one.state is VideoState.FAILED)
        ended = tuple(self._ledger.ended(self._campaign_id, after=self._since, limit=ENDED_AT_ONCE))
        return Facts(
            campaign=self._ledger.campaign(self._campaign_id),
            counts=self._ledger.counts(self._campaign_id),
            slices=tuple(self._ledger.slices(self._campaign_id, MOST_TRACKERS)),
            workers=tuple(self._ledger.workers(self._campaign_id)),
            ended=ended,
            now=now,
        )

    def _note(self, facts: Facts, *, observing: bool) -> None:
        """Turn what is new into lines and events, once."""
        before, when = self._facts, utc_now()
        lines = story.opening(facts, self._failed_before) if before is None else story.chapter(before, facts)
        if observing is not self._looked_on:
            lines.append(story.looks_on(facts.campaign.coordinator) if observing else story.COORDINATES)
            self._looked_on = observing
        self._lines.extend((when, line) for line in lines)
        if not observing:
            self._events.extend((when, what, payload) for what, payload in _events(before, facts))
        self._book.add(facts.ended)
        if facts.ended:
            self._since = facts.ended[-1].ended_at
        self._facts = facts
        self._first = self._first or facts

    def _follow(self, facts: Facts, closing: Closing | None) -> None:
        run = self._desk.run_state()
        ledger = facts.campaign.state
        if closing is not None:
            # A run that is shown as paused or crashed could not take its final state.
            if run in ("PAUSED", "CRASHED"):
                self._desk.show_running("ending")
            return
        match follow(run_before=self._run, run=run, ledger_before=self._ledger_before, ledger=ledger):
            case Follow.CANCEL:
                change = self._ledger.cancel(self._campaign_id)
                self._say(f"cancel asked for in Prefect: {change.videos} videos will not be made")
            case Follow.PAUSE:
                why = "paused in Prefect: what is under way is finished, no more is begun"
                ledger = self._set(CampaignState.PAUSED, why, ledger)
            case Follow.RESUME:
                ledger = self._set(CampaignState.RUNNING, "resumed in Prefect", ledger)
                if run != "RUNNING":
                    self._desk.show_running("resumed")
                    run = "RUNNING"
            case Follow.SHOW_PAUSED:
                self._desk.show_paused("the campaign is paused")
                self._say("the campaign is paused; Resume here or `callsheet resume` lets it go on")
                run = "PAUSED"
            case Follow.SHOW_RUNNING:
                self._desk.show_running("the campaign goes on")
                run = "RUNNING"
            case Follow.REVIVE:
                self._desk.show_running("this run is alive")
                self._say(f"Prefect had this run as {run}; it is alive")
                run = "RUNNING"
            case Follow.NOTHING:
                pass
        # As this look left them: what differs at the next is what somebody did in between.
        self._run, self._ledger_before = run, ledger

    def _set(self, wanted: CampaignState, why: str, now: CampaignState) -> CampaignState:
        """The campaign's state afterwards."""
        try:
            self._ledger.set_state(self._campaign_id, wanted)
            self._say(why)
        except Refused as error:
            self._say(f"{why}: {error.message}")
            return now
        return wanted

    def _say(self, text: str) -> None:
        self._lines.append((utc_now(), Line(text=text)))

    def _show(self, facts: Facts, *, observing: bool, closing: Closing | None) -> None:
        if closing is not None and facts.campaign.state is CampaignState.CANCELLED and not self._said_kept:
            self._said_kept = True
            self._lines.append((utc_now(), Line(text=story.kept(facts.counts))))
        self._flush(facts)
        if observing:
            return
        desk, name = self._desk, facts.campaign.name
        # Before the trackers: two hundred of them take the first look a while.
        desk.artifact("progress", "progress", float(facts.percent), story.headline(facts, self._first))
        desk.artifact("states", "table", story.states_table(facts), f"{name}: videos by state")
        desk.artifact("failures", "table", self._book.table(facts), f"{name}: what failed, and why")
        desk.artifact("workers", "table", story.workers_table(facts), f"{name}: who renders what now")
        desk.track(trackers(facts.slices, facts.campaign.state))
        if closing is None:
            return
        for noun, link in closing.links.items():
            desk.artifact(noun, "markdown", f"[{noun} of {name}]({link})", f"{name}: {noun}")
        if facts.campaign.state in CAMPAIGN_ENDED:
            text = story.summary(facts, closing.final_line, dict(closing.links))
            desk.artifact("summary", "markdown", text, f"{name}: how it ended")

    def _flush(self, facts: Facts) -> None:
        """What was taken is put back when the server does not take it."""
        while self._lines:
            batch = [self._lines[n] for n in range(min(200, len(self._lines)))]
            self._desk.write(batch)
            for _ in batch:
                self._lines.popleft()
        while self._events:
            events = [self._events[n] for n in range(min(100, len(self._events)))]
            self._desk.announce(events, facts.campaign.name)
            for _ in events:
                self._events.popleft()


def _events(before: Facts | None, after: Facts) -> list[tuple[str, dict[str, Any]]]:
    """State changes of the campaign and failures of its videos."""
    state = after.campaign.state
    found: list[tuple[str, dict[str, Any]]] = []
    if before is None or before.campaign.state is not state:
        counts = {key.value: n for key, n in after.counts.videos.items()}
        found.append((f"campaign.{state.value}", {"campaign": after.campaign.name, "videos": counts}))
    failed = [one for one in after.ended if one.state is VideoState.FAILED]
    for one in failed[:20]:
        said = {"row_id": one.row_id, "line": one.line, "code": one.error_code, "error": story.shorten(one.error)}
        found.append(("video.failed", said))
    if len(failed) > 20:
        found.append(("video.failed", {"row_ids": [one.row_id for one in failed[20:]]}))
    return found


def _is_missing(error: Exception) -> bool:
    if isinstance(error, ObjectNotFound):
        return True
    response = getattr(error, "response", None)
    return bool(response is not None and response.status_code == 404 and "/flow_runs/" in str(response.url))


def _client_of_this_run() -> tuple[SyncPrefectClient, UUID]:
    """A client for the thread, of the server that this run is known to; it tries once and is not the flow's own."""
    from prefect.client.orchestration import get_client

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("there is no flow run around this view")
    client: SyncPrefectClient = get_client(httpx_settings={"timeout": 10.0}, sync_client=True)
    return client, context.flow_run.id


class _Speaking:
    """The client opened, and not trying again by itself."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client
        self._patience = temporary_settings(updates={PREFECT_CLIENT_MAX_RETRIES: 0})

    def __enter__(self) -> SyncPrefectClient:
        self._patience.__enter__()
        return self._client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patience.__exit__(kind, error, trace)


class _opened:  # noqa: N801 - reads as a statement
    """A ledger for this thread; one that is away is waited for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __enter__(self) -> Ledger:
        while True:
            try:
                self._ledger = open_ledger_of(self._settings, create=False)
            except Retryable:
                time.sleep(AWAY_MAX_S / 3)
            else:
                return self._ledger

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.close()
