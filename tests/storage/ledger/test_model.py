"""MemoryLedger and the ledger in SQLite agree on everything, after any sequence of verbs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from schemas.errors import CallsheetError
from schemas.lease import Lease, LeaseKind, Progress
from schemas.states import VIDEO_TERMINAL, CampaignState, Ending, JobState, VideoState
from schemas.submission import PlannedRow
from storage.ledger.identity import campaign_id_of
from storage.ledger.memory import MemoryLedger
from storage.ledger.protocol import Ledger
from tests.support.ledgers import (
    OPTIONS,
    POOL,
    PREEMPTED,
    Clock,
    bad_row,
    clip_of,
    failure,
    good_row,
    migrate,
    publication_of,
    sheet,
    sql_ledger,
    worker,
)

NAMES = ("one", "two")
ROWS = "abcd"
CAMPAIGNS = [campaign_id_of("default", name) for name in NAMES]
BUCKETS = ("", "640x480x97/TIA")


@st.composite
def sheets(draw: st.DrawFn) -> tuple[PlannedRow, ...]:
    """Up to four rows, some sharing videos, some sharing prompt and seed (twins), some bad, in any order."""
    rows: list[PlannedRow] = []
    for place, row_id in enumerate(draw(st.permutations(ROWS))[: draw(st.integers(0, len(ROWS)))]):
        video = draw(st.sampled_from(["", "v"]))
        if draw(st.integers(0, 6)) == 0:
            rows.append(bad_row(row_id, video=video))
            continue
        twin = draw(st.booleans())
        rows.append(
            good_row(
                row_id,
                video=video,
                place=place if video else 0,
                clips=draw(st.integers(1, 2)),
                prompt="same" if twin else "",
                seed=1 if twin else None,
                width=draw(st.sampled_from([832, 640])),
                priority=draw(st.integers(0, 1)),
                not_before=draw(st.sampled_from([None, 1_700_000_200.0])),
            )
        )
    return tuple(rows)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a verb answered, or which error it raised."""

    value: Any = None
    error: type[Exception] | None = None


def outcome(act: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(value=act())
    except CallsheetError as error:
        return Outcome(error=type(error))


def comparable(value: Any) -> Any:
    """Leases and clips without what is each ledger's own: ids of jobs."""
    if isinstance(value, Lease):
        return value.model_copy(update={"subject": "" if value.kind is LeaseKind.RENDER else value.subject})
    if isinstance(value, tuple):
        return tuple(comparable(item) for item in value)
    return value


def numbers() -> Callable[[], str]:
    """Attempt ids in the order in which they are drawn."""
    return (f"{n:032x}" for n in count(1)).__next__


class Agreement(RuleBasedStateMachine):
    """Each rule does the same to both ledgers and compares the answers; the invariants compare all that shows."""

    empty: Path

    @initialize(rows=sheets())
    def begin(self, rows: tuple[PlannedRow, ...]) -> None:
        self.clock = Clock()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "ledger.db"
        shutil.copy(self.empty, path)
        # Waits after a failure are jittered by the attempt's id: both ledgers draw the same ones.
        self.memory: Ledger = MemoryLedger(options=OPTIONS, clock=self.clock, new_id=numbers())
        self.sql: Ledger = sql_ledger(f"sqlite:///{path}", self.clock, new_id=numbers())
        self.leases: list[tuple[Lease, Lease]] = []
        self.submit(NAMES[0], (*rows, good_row("e", clips=2)), dry=False, run=True)

    def teardown(self) -> None:
        if hasattr(self, "sql"):
            self.sql.close()
            self.folder.cleanup()

    def both(self, act: Callable[[Ledger], Any]) -> Outcome:
        """Do the same to both; the answer, which must be the same."""
        memory, sql = outcome(lambda: act(self.memory)), outcome(lambda: act(self.sql))
        assert comparable(memory.value) == comparable(sql.value)
        assert memory.error is sql.error
        if isinstance(memory.value, Lease):
            self.leases.append((memory.value, sql.value))
        return memory

    def held(self, act: Callable[[Ledger, Lease], Any], data: st.DataObject, kind: LeaseKind | None = None) -> None:
        """Do something with a lease that was given out once; it may be over."""
        known = [pair for pair in self.leases if kind is None or pair[0].kind is kind][-6:]
        if known:
            mine, other = data.draw(st.sampled_from(known))
            memory, sql = outcome(lambda: act(self.memory, mine)), outcome(lambda: act(self.sql, other))
            assert memory.error is sql.error
            assert comparable(memory.value) == comparable(sql.value)

    # -- rules ---------------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), rows=sheets(), dry=st.sampled_from([True, False, False]), run=st.booleans())
    def submit(self, name: str, rows: tuple[PlannedRow, ...], dry: bool, run: bool) -> None:
        submission = sheet(*rows, name=name, max_attempts=2)
        self.both(lambda ledger: ledger.submit(submission, dry_run=dry))
        if run:
            self.both(lambda ledger: ledger.set_state(campaign_id_of("default", name), CampaignState.RUNNING))

    @rule(campaign_id=st.sampled_from(CAMPAIGNS), state=st.sampled_from(CampaignState), back=st.booleans())
    def set_state(self, campaign_id: str, state: CampaignState, back: bool) -> None:
        self.both(lambda ledger: ledger.set_state(campaign_id, state))
        if back:
            self.both(lambda ledger: ledger.finish_cancel(campaign_id))
            self.both(lambda ledger: ledger.set_state(campaign_id, CampaignState.RUNNING))

    @rule(
        name=st.sampled_from(["w1", "w2", "w3"]),
        bucket=st.sampled_from(BUCKETS),
        campaign_id=st.sampled_from(["", *CAMPAIGNS]),
    )
    def claim(self, name: str, bucket: str, campaign_id: str) -> None:
        identity = worker(name, bucket=bucket, campaign_id=campaign_id)
        self.both(lambda ledger: ledger.peek(identity))
        self.both(lambda ledger: ledger.claim(identity, LeaseKind.RENDER, ttl=60.0))

    @rule(name=st.sampled_from(["j1", "j2"]))
    def claim_join(self, name: str) -> None:
        self.both(lambda ledger: ledger.claim(worker(name, pool=""), LeaseKind.JOIN, ttl=60.0))

    @rule(steps=st.integers(1, 6))
    def work(self, steps: int) -> None:
        """What healthy workers do: render and join without a fault."""
        for _ in range(steps):
            for kind in LeaseKind:
                found = self.both(lambda ledger, kind=kind: ledger.claim(worker("w1", pool=POOL), kind, ttl=60.0))
                if found.value is not None:
                    self.end_well(*self.leases[-1])

    def end_well(self, *pair: Lease) -> None:
        for ledger, lease in zip((self.memory, self.sql), pair, strict=True):
            if lease.kind is LeaseKind.RENDER:
                ledger.complete(lease, clip_of(lease), device_s=2.0)
            else:
                ledger.checking(lease)
                ledger.publish(lease, publication_of(lease))

    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        self.held(lambda ledger, lease: ledger.complete(lease, clip_of(lease), device_s=2.0), data, LeaseKind.RENDER)

    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        self.held(lambda ledger, lease: ledger.heartbeat(lease, Progress(phase="x", done=1), device_s=1.0), data)

    @rule(data=st.data(), ending=st.sampled_from([Ending.BAD_INPUT, Ending.HUNG]))
    def fail(self, data: st.DataObject, ending: Ending) -> None:
        self.held(lambda ledger, lease: ledger.fail(lease, failure(ending), device_s=1.0), data)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.held(lambda ledger, lease: ledger.release(lease, PREEMPTED), data)

    @rule(data=st.data(), checked=st.booleans())
    def publish(self, data: st.DataObject, checked: bool) -> None:
        def act(ledger: Ledger, lease: Lease) -> None:
            if checked:
                ledger.checking(lease)
            ledger.publish(lease, publication_of(lease))

        self.held(act, data, LeaseKind.JOIN)

    @rule(data=st.data())
    def read_and_lose_a_clip(self, data: st.DataObject) -> None:
        def act(ledger: Ledger, lease: Lease) -> Any:
            shots, clips = ledger.shots(lease), ledger.clips(lease)
            ledger.clip_vanished(lease, clips[-1][0].render_key)
            return shots, [clip.object.sha256 for _, clip in clips if clip.attempt_id]

        known = [pair for pair in self.leases if pair[0].kind is LeaseKind.JOIN]
        if known:
            mine, other = known[-1]
            memory, sql = outcome(lambda: act(self.memory, mine)), outcome(lambda: act(self.sql, other))
            assert memory.error is sql.error
            assert memory.value is None or memory.value[0] == sql.value[0]

    @rule(seconds=st.sampled_from([0.5, 61.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.both(lambda ledger: ledger.reap())

    @rule(campaign_id=st.sampled_from(CAMPAIGNS), dry=st.sampled_from([True, True, False]))
    def cancel(self, campaign_id: str, dry: bool) -> None:
        self.both(lambda ledger: ledger.cancel(campaign_id, dry_run=dry))

    @rule(campaign_id=st.sampled_from(CAMPAIGNS))
    def finish_cancel(self, campaign_id: str) -> None:
        self.both(lambda ledger: ledger.finish_cancel(campaign_id))

    @rule(
        campaign_id=st.sampled_from(CAMPAIGNS),
        states=st.lists(st.sampled_from(VideoState), max_size=3),
        row_ids=st.lists(st.sampled_from(ROWS), max_size=2),
        dry=st.booleans(),
    )
    def retry(self, campaign_id: str, states: list[VideoState], row_ids: list[str], dry: bool) -> None:
        wanted = [*states, VideoState.FAILED]
        self.both(lambda ledger: ledger.retry(campaign_id, row_ids=row_ids, states=wanted, dry_run=dry))

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "sql"):
            return
        for campaign_id in CAMPAIGNS:
            if self.both(lambda ledger, one=campaign_id: ledger.campaign(one)).error:
                continue
            for look in (Ledger.counts, Ledger.waiting, Ledger.pending):
                self.both(lambda ledger, look=look, one=campaign_id: getattr(ledger, look.__name__)(one))
            rows = self.both(lambda ledger, one=campaign_id: tuple(ledger.rows(one))).value
            for row in rows:
                self.both(lambda ledger, row=row, one=campaign_id: explained(ledger, one, row.row_id))
        self.both(lambda ledger: [replace(w, lease_subject="") for w in ledger.workers()])
        self.both(lambda ledger: len(ledger.referenced_keys()))

    @invariant()
    def it_adds_up(self) -> None:
        if not hasattr(self, "sql"):
            return
        for campaign in self.memory.campaigns():
            one = campaign.campaign_id
            counts, rows = self.memory.counts(one), list(self.memory.rows(one))
            assert sum(self.memory.waiting(one).values()) == counts.jobs.get(JobState.QUEUED, 0)
            assert counts.rows == len(rows) == sum(counts.rows_by_video_state.values())
            assert counts.total_videos == len({row.video_id for row in rows})
            for row in rows:
                jobs = self.memory.explain(one, row.row_id).jobs
                under_way = [job for job in jobs if job.state in (JobState.QUEUED, JobState.LEASED)]
                assert not (row.state in VIDEO_TERMINAL and under_way), "an ended video has no work left"
                assert (row.publication is not None) == (row.state is VideoState.PUBLISHED)
                if row.state in (VideoState.STITCHING, VideoState.CHECKING):
                    assert all(job.clip_key for job in jobs), "a video being joined has all its clips"
        leased = [w.lease_subject for w in self.memory.workers()]
        assert len(leased) == len(set(leased)), "one lease per piece of work"


def explained(ledger: Ledger, campaign_id: str, row_id: str) -> Any:
    """An explanation without the ids that are each ledger's own, and keys that are made of them."""
    found = ledger.explain(campaign_id, row_id)
    jobs = [replace(job, job_id="", clip_key=bool(job.clip_key)) for job in found.jobs]
    attempts = [a.model_copy(update={"subject": "", "message": ""}) for a in found.attempts]
    return found.row, jobs, attempts, found.reason, found.until, found.ahead


@pytest.fixture(scope="module")
def empty() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        migrate(f"sqlite:///{path}")
        yield path


def test_memory_and_sqlite_agree(empty: Path) -> None:
    """Any sequence of verbs gives the same answers, states, counts, reasons and errors on both."""
    Agreement.empty = empty
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Agreement,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
