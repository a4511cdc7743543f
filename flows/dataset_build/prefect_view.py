"""A build in Prefect: progress, a table of the stages, a page, and task runs for shards, at most 200 of them.

Prefect shows; the folder is the truth. A server that is away costs the build nothing: what was not told is told at
the next look, from a thread of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import httpx
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.campaign.prefect_desk import PrefectDesk
from flows.campaign.trackers import MOST_TRACKERS, Tracker, TrackerState
from flows.dataset_build import story
from flows.dataset_build.progress import Progress, ShardState
from schemas.dataset import DatasetOrder, Step
from schemas.redaction import Redactor
from schemas.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

log = logging.getLogger("callsheet.prefect")

END_S = 30.0
"""How long the end of a build waits for a server that is away."""
_AWAY = (httpx.HTTPError, PrefectHTTPStatusError, OSError, RuntimeError)
_MOST_PER_STEP = MOST_TRACKERS // len(Step)


class DatasetView:
    """Onlooker of one flow run; a context manager inside the flow, whose end tells the rest."""

    def __init__(self, order: DatasetOrder, out: str, settings: Settings) -> None:
        from prefect.client.orchestration import get_client

        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        self._order, self._out = order, out
        self._run_id = context.flow_run.id
        self._client: SyncPrefectClient = get_client(httpx_settings={"timeout": 10.0}, sync_client=True)
        self._redact = Redactor.of(settings)
        self._every_s = settings.prefect_every_s
        self._progress: Progress | None = None
        self._failure = ""
        self._ended = threading.Event()
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._live, name="dataset-view", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._failure = getattr(error, "message", "") or f"stopped: {type(error).__name__}"
        self._ended.set()
        self._thread.join(END_S)

    def look(self, progress: Progress) -> None:
        self._progress = progress

    def is_cancelled(self) -> bool:
        """Whether a person cancelled the run in Prefect."""
        return self._cancelled.is_set()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            with temporary_settings(updates={PREFECT_CLIENT_MAX_RETRIES: 0}), self._client as client:
                desk = PrefectDesk(
                    client=client,
                    run_id=self._run_id,
                    campaign_id=f"dataset-{self._order.name}",
                    redact=self._redact,
                )
                self._tell_until_the_end(desk)
        except Exception:
            log.exception("Prefect is told nothing more; the build goes on")

    def _tell_until_the_end(self, desk: PrefectDesk) -> None:
        deadline = None
        while True:
            is_last = self._ended.is_set()
            told = self._tell(desk, is_last=is_last)
            if is_last:
                deadline = deadline or time.monotonic() + END_S
                if told or time.monotonic() > deadline:
                    return
                time.sleep(1.0)
            else:
                self._ended.wait(self._every_s)

    def _tell(self, desk: PrefectDesk, *, is_last: bool) -> bool:
        """False when the server is away and the same has to be told again."""
        progress, name = self._progress, self._order.name
        try:
            if not is_last and desk.run_state() == "CANCELLING":
                self._cancelled.set()
            if progress is not None:
                desk.artifact("progress", "progress", story.percent(progress), f"{name}: made so far")
                desk.artifact("stages", "table", story.table(progress), f"{name}: what each stage kept and dropped")
                desk.track(trackers(progress, is_last=is_last))
                if is_last:
                    page = story.summary(name, self._out, story.finished(progress), self._failure)
                    desk.artifact("summary", "markdown", page, f"{name}: how it ended")
        except _AWAY as error:
            log.warning("Prefect is away (%s); the build goes on", type(error).__name__)
            return False
        return True


def trackers(progress: Progress, *, is_last: bool) -> list[Tracker]:
    """One task run per slice of a step's shards."""
    with progress.lock:
        steps = [(one.step, story.slices(one, _MOST_PER_STEP)) for one in progress.steps.values()]
    return [
        Tracker(key=f"{step}-{number}", name=name, state=_state(part, is_last=is_last), message=_words(part))
        for step, parts in steps
        for number, (name, part) in enumerate(parts)
    ]


def _state(part: Sequence[ShardState], *, is_last: bool) -> TrackerState:
    states = set(part)
    if ShardState.FAILED in states:
        return TrackerState.FAILED
    if states <= {ShardState.HERE, ShardState.MADE}:
        return TrackerState.COMPLETED
    if is_last:
        return TrackerState.CANCELLED
    return TrackerState.PENDING if states == {ShardState.WAITING} else TrackerState.RUNNING


def _words(part: Sequence[ShardState]) -> str:
    states = list(part)
    return ", ".join(f"{states.count(state)} {state}" for state in ShardState if state in states)
