"""What one coordinator does when joins end in every way they can, and when the ledger goes away meanwhile."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from flows.campaign.coordinator import Coordinator
from flows.stages.executor import RESUBMITS, TaskDied
from media.output_gate import BadOutput
from schemas.attempt import Attempt
from schemas.errors import InvalidMedia, InvalidSettings, Permanent, Retryable
from schemas.problem import Code
from schemas.settings import Settings
from schemas.states import Blame, CampaignState, Ending, VideoState
from storage.ledger.memory import MemoryLedger
from storage.objects.directory import DirectoryStore
from tests.support.campaigns import Stage

SHEET = b"row_id,prompt,image\nr1,a person waits,face.png\n"
TTL_S = 60.0


class Away:
    """A ledger whose named verbs cannot be reached for a number of calls; it counts all calls."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self.away: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[verb] += 1
            if self.away[verb]:
                self.away[verb] -= 1
                raise Retryable("the ledger is away")
            return getattr(self._ledger, verb)(*args, **kwargs)

        return call


class Told:
    """An executor whose tasks end as they are told, at once; after the last telling they go well."""

    slots = 1

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.endings: list[Exception] = []
        self.submitted = 0

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        self.submitted += 1
        future: Future[Any] = Future()
        if self.endings:
            future.set_exception(self.endings.pop(0))
        else:
            future.set_result(self._stage.publication(args[0].lease))
        return future

    def close(self) -> None:
        pass


class Flow:
    """One coordinator over a rendered video, with a clock that is moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_000_000.0
        self.stage = Stage(MemoryLedger(clock=lambda: self.now), DirectoryStore(folder))
        self.campaign_id = self.stage.submit(SHEET)
        self.stage.render(self.campaign_id)
        self.ledger = Away(self.stage.ledger)
        self.executor = Told(self.stage)
        self.coordinator = Coordinator(
            ledger=self.ledger,
            executor=self.executor,
            settings=Settings(lease_ttl_s=TTL_S),
            campaign_id=self.campaign_id,
            owner="flow-1",
            clock=lambda: self.now,
        )

    def tick(self) -> None:
        self.coordinator.tick()
        while self.coordinator.pump():
            pass

    @property
    def state(self) -> VideoState:
        [row] = self.stage.ledger.rows(self.campaign_id)
        return row.state

    @property
    def joins(self) -> list[Attempt]:
        attempts = self.stage.ledger.explain(self.campaign_id, "r1").attempts
        return [attempt for attempt in attempts if attempt.worker == "flow-1"]


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    return Flow(tmp_path)


@pytest.mark.parametrize("verb", ["checking", "publish"])
def test_a_finished_join_outlives_an_outage(flow: Flow, verb: str) -> None:
    """It is told to the ledger when the ledger is back; it is not made again, and its attempt is the only one."""
    flow.ledger.away[verb] = 2
    for _ in range(2):
        with pytest.raises(Retryable):
            flow.tick()
    flow.tick()
    assert flow.state is VideoState.PUBLISHED
    assert flow.executor.submitted == 1
    assert [attempt.ending for attempt in flow.joins] == [Ending.OK]


def test_a_finished_join_is_not_swept_by_its_own_flow(flow: Flow) -> None:
    """However long the ledger was away, what is finished here counts before what expired is lost."""
    flow.ledger.away["publish"] = 1
    with pytest.raises(Retryable):
        flow.tick()
    flow.now += 10 * TTL_S
    flow.tick()
    assert [attempt.ending for attempt in flow.joins] == [Ending.OK]


def test_a_join_that_could_not_be_begun_is_given_back(flow: Flow) -> None:
    """The ledger goes away between the claim and what the join needs, and comes back to a flow that ends."""
    flow.ledger.away["clips"] = 1
    with pytest.raises(Retryable):
        flow.tick()
    flow.coordinator.close()
    assert [attempt.ending for attempt in flow.joins] == [Ending.PREEMPTED]
    flow.tick()
    assert flow.state is VideoState.PUBLISHED


def test_a_join_that_could_not_be_begun_is_begun_in_the_next_round(flow: Flow) -> None:
    flow.ledger.away["clips"] = 1
    with pytest.raises(Retryable):
        flow.tick()
    flow.tick()
    assert [attempt.ending for attempt in flow.joins] == [Ending.OK]


def test_a_join_that_could_not_be_begun_is_given_back_when_the_campaign_rests(flow: Flow) -> None:
    flow.ledger.away["shots"] = 1
    with pytest.raises(Retryable):
        flow.tick()
    flow.stage.ledger.set_state(flow.campaign_id, CampaignState.PAUSED)
    flow.tick()
    assert [attempt.ending for attempt in flow.joins] == [Ending.PREEMPTED]


def test_a_signal_while_a_join_is_begun_leaves_no_lease(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting the first joining process takes longest of all: there a Ctrl-C is most likely heard."""

    def interrupted(*_: object) -> Future[Any]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flow.executor, "submit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            flow.tick()
    flow.coordinator.close()
    assert [attempt.ending for attempt in flow.joins] == [Ending.PREEMPTED]
    flow.tick()
    assert flow.state is VideoState.PUBLISHED


def test_after_an_outage_the_late_may_renew(flow: Flow) -> None:
    """For the length of a lease nobody's expired lease is swept; then it is."""
    flow.tick()
    before = flow.ledger.calls["reap"]
    flow.ledger.away["coordinate"] = 1
    with pytest.raises(Retryable):
        flow.tick()
    flow.tick()
    assert flow.ledger.calls["reap"] == before
    flow.now += TTL_S
    flow.tick()
    assert flow.ledger.calls["reap"] == before + 1


def test_a_join_whose_process_dies_is_made_again(flow: Flow) -> None:
    """Under the same lease, a few times; then it has used up an attempt."""
    flow.executor.endings = [TaskDied("it died")] * RESUBMITS
    flow.tick()
    assert [attempt.ending for attempt in flow.joins] == [Ending.OK]
    assert flow.executor.submitted == RESUBMITS + 1


def test_a_store_that_is_away_is_nobodys_failure(flow: Flow) -> None:
    """The join is given back, nothing new is begun for a while, longer each time, and no attempt is used up."""
    flow.executor.endings = [Retryable("the store is away")] * 2 * (RESUBMITS + 1)
    flow.tick()
    assert [attempt.ending for attempt in flow.joins] == [Ending.PREEMPTED]
    flow.tick()
    assert len(flow.joins) == 1
    flow.now += 1.0
    flow.tick()
    flow.now += 1.0
    flow.tick()
    assert [attempt.ending for attempt in flow.joins] == [Ending.PREEMPTED] * 2
    flow.now += 1.0
    flow.tick()
    assert flow.state is VideoState.PUBLISHED


@pytest.mark.parametrize(
    ("errors", "ending", "blame"),
    [
        ([TaskDied("it died")] * (RESUBMITS + 1), Ending.WORKER_FAULT, Blame.WORKER),
        ([OSError(errno.EIO, "Input/output error")] * (RESUBMITS + 1), Ending.WORKER_FAULT, Blame.WORKER),
        ([OSError(errno.ENOSPC, "No space left on device")], Ending.WORKER_FAULT, Blame.PLATFORM),
        ([BadOutput("it is black")], Ending.BAD_OUTPUT, Blame.ROW),
        ([InvalidMedia(Code.AUDIO_CORRUPT, "it does not decode")], Ending.BAD_INPUT, Blame.ROW),
        ([Permanent("a clip is missing")], Ending.INTERNAL, Blame.PLATFORM),
        ([ZeroDivisionError("a bug")], Ending.INTERNAL, Blame.PLATFORM),
    ],
    ids=lambda value: type(value[0]).__name__ if isinstance(value, list) else str(value),
)
def test_a_join_that_fails_blames_the_right_one(
    flow: Flow, errors: list[Exception], ending: Ending, blame: Blame
) -> None:
    """The row for what it is, the worker for what it did, the platform for what it lacks."""
    flow.executor.endings = list(errors)
    flow.tick()
    [attempt] = flow.joins
    assert (attempt.ending, attempt.blame, attempt.phase) == (ending, blame, "join")
    assert str(errors[0]).splitlines()[0] in attempt.message


def test_wrong_settings_end_the_flow_and_not_the_video(flow: Flow) -> None:
    """No join can work so: the flow says so and ends, and what it held is given back."""
    flow.executor.endings = [InvalidSettings("the store refuses the access key", fix="correct it")]
    with pytest.raises(InvalidSettings):
        flow.tick()
    flow.coordinator.close()
    assert [attempt.ending for attempt in flow.joins] == [Ending.PREEMPTED]
    assert flow.state is VideoState.STITCHING
