"""A store that goes away while a worker works: what is finished is kept, and no row is blamed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from model_runtime.gang import GangPlan
from model_runtime.phases import FLOORS, Listener, Step, silent
from model_runtime.supervisor import Supervisor, WorkerPlan
from schemas.edge import Edge
from schemas.errors import InvalidSettings, Retryable
from schemas.states import Ending, JobState
from schemas.worker_exit import WorkerExit
from storage.objects.directory import DirectoryStore
from tests.support.requests import make_job
from tests.support.workers import Installation


class WeakStore(DirectoryStore):
    """A folder that cannot be reached for a number of calls."""

    def __init__(self, root: Path, error: Exception) -> None:
        super().__init__(root)
        self.away = 0
        self.error = error
        self.puts = 0

    def put_file(self, key: str, path: Path, *, media_type: str) -> None:
        self.puts += 1
        self._stand_or_fall()
        super().put_file(key, path, media_type=media_type)

    def open(self, key: str) -> BinaryIO:
        self._stand_or_fall()
        return super().open(key)

    def _stand_or_fall(self) -> None:
        if self.away:
            self.away -= 1
            raise self.error


@pytest.fixture
def handlers() -> Iterator[None]:
    """A worker takes the process's signals and keeps them; this process wants them back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


Work = Callable[..., WorkerExit]


@pytest.fixture
def work(installation: Installation, handlers: None) -> Work:
    """Run a worker in this process until there is nothing left to do."""
    plan = WorkerPlan(
        name="host-0",
        scratch=installation.home / "scratch",
        gang=GangPlan(engine="pattern", model="humo-1.7B"),
    )

    def run(store: DirectoryStore, *, idle_exit_s: float = 0.0, listener: Listener = silent) -> WorkerExit:
        changed = replace(plan, idle_exit_s=idle_exit_s)
        return Supervisor(changed, ledger=installation.ledger, store=store, listener=listener).run()

    return run


def weak(installation: Installation, error: Exception | None = None) -> WeakStore:
    return WeakStore(installation.home / "objects", error or Retryable("the store is away"))


def test_an_upload_waits_for_the_store(installation: Installation, work: Work) -> None:
    """The finished clip is kept and uploaded when the store is back; the attempt is not repeated."""
    installation.submit_prompts("a person speaks")
    store = weak(installation)
    store.away = 3
    assert work(store) == WorkerExit.DRAINED
    assert store.puts >= 3
    assert installation.job().state is JobState.RENDERED
    assert [attempt.ending for attempt in installation.attempts()] == [Ending.OK]


def test_a_store_that_stays_away_blames_nobody(
    installation: Installation, work: Work, portrait: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the step's deadline the job is given back, no attempt is used up, and it is rendered later."""
    installation.submit(make_job("row-0", images=(installation.put(portrait, "image/png"),)))
    monkeypatch.setitem(FLOORS, Step.FETCH, 0.3)
    store = weak(installation)
    store.away = 2
    assert work(store, idle_exit_s=1.0) == WorkerExit.DRAINED
    endings = [attempt.ending for attempt in installation.attempts()]
    assert endings[-1] is Ending.OK
    assert set(endings[:-1]) <= {Ending.PREEMPTED}


def test_refused_credentials_end_the_worker_and_not_the_job(installation: Installation, work: Work) -> None:
    """What is wrong with the settings is not tried again, and the job is given back."""
    installation.submit_prompts("a person speaks")
    store = weak(installation, InvalidSettings("the store refuses the access key", fix="correct it"))
    store.away = 1
    assert work(store) == WorkerExit.BAD_CONFIGURATION
    assert installation.job().state is JobState.QUEUED
    assert [attempt.ending for attempt in installation.attempts()] == [Ending.PREEMPTED]


def test_every_step_is_announced(installation: Installation, work: Work) -> None:
    """Whoever listens hears of every step before and after it, in order."""
    installation.submit_prompts("a person speaks")
    heard: list[tuple[Step, Edge]] = []
    work(weak(installation), listener=lambda *at: heard.append(at))
    assert heard[: 2 * len(Step)] == [(step, edge) for step in Step for edge in Edge]
