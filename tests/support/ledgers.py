"""Ledgers to test, on a clock that stands still until it is told to move, and small sheets to put into them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.attempt import Failure
from schemas.campaign import CampaignSettings, ManifestRef
from schemas.clip import Clip, Publication
from schemas.digest import sha256_hex
from schemas.job import RenderJob, RenderRequest, pool_name
from schemas.lease import Lease, LeaseKind, WorkerIdentity
from schemas.mode import Mode
from schemas.object_ref import ObjectRef
from schemas.problem import Code, RowProblem
from schemas.shot import Picture, Shot, Speech
from schemas.states import CampaignState, Ending
from schemas.submission import PlannedRow, Submission
from storage.ledger import schema
from storage.ledger.identity import new_attempt_id
from storage.ledger.memory import MemoryLedger
from storage.ledger.options import LedgerOptions
from storage.ledger.protocol import Ledger
from storage.ledger.sql.database import Database
from storage.ledger.sql.engine import make_engine, parse_url
from storage.ledger.sql.ledger import SqlLedger
from storage.ledger.tables import metadata
from tests.support.postgres import PostgresServer

POOL = pool_name(engine="animatic", model="test", ranks=1)
TTL = 60.0
OPTIONS = LedgerOptions(head_start_s=120.0, priority_bonus_s=3600.0)


@dataclass
class Clock:
    """Seconds since the epoch, by hand."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One ledger under test and the clock it reads."""

    ledger: Ledger
    clock: Clock
    kind: str


# -- fixtures ----------------------------------------------------------------------------------------------------------


def sql_ledger(
    url: str,
    clock: Callable[[], float] | None = None,
    options: LedgerOptions = OPTIONS,
    new_id: Callable[[], str] = new_attempt_id,
) -> SqlLedger:
    """A ledger on a database that has its tables; on the database's own clock unless another is given."""
    now = None if clock is None else sa.bindparam("now", callable_=clock, type_=sa.Double())
    return SqlLedger(Database(make_engine(parse_url(url)), options, now=now), new_id=new_id)


def migrate(url: str) -> None:
    engine = make_engine(parse_url(url))
    schema.upgrade(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the ledger's tables and nothing in them, to be copied."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def shared_postgres(postgres: PostgresServer) -> str:
    """The URL of a PostgreSQL database with the ledger's tables, emptied before each use."""
    url = postgres.new_database()
    migrate(url)
    return url


def fresh_sqlite(empty: Path, folder: Path) -> str:
    path = folder / "ledger.db"
    shutil.copy(empty, path)
    return f"sqlite:///{path}"


def emptied(url: str) -> str:
    engine = make_engine(parse_url(url))
    names = ", ".join(table.name for table in metadata.sorted_tables)
    with engine.begin() as connection:
        connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY"))
    engine.dispose()
    return url


SQL_KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=SQL_KINDS)
def sql_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty ledger, on each database in turn."""
    if request.param == "sqlite":
        return fresh_sqlite(request.getfixturevalue("empty_sqlite"), tmp_path)
    return emptied(request.getfixturevalue("shared_postgres"))


@pytest.fixture(params=("memory", *SQL_KINDS))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """An empty ledger of each implementation in turn."""
    clock = Clock()
    ledger: Ledger
    if request.param == "memory":
        ledger = MemoryLedger(options=OPTIONS, clock=clock)
    elif request.param == "sqlite":
        ledger = sql_ledger(fresh_sqlite(request.getfixturevalue("empty_sqlite"), tmp_path), clock)
    else:
        ledger = sql_ledger(emptied(request.getfixturevalue("shared_postgres")), clock)
    yield Bench(ledger=ledger, clock=clock, kind=request.param)
    ledger.close()


@pytest.fixture
def ledger(bench: Bench) -> Ledger:
    return bench.ledger


@pytest.fixture
def clock(bench: Bench) -> Clock:
    return bench.clock


# -- sheets ------------------------------------------------------------------------------------------------------------


def ref(key: str) -> ObjectRef:
    return ObjectRef(key=key, sha256=sha256_hex(key.encode()), size=1)


def good_row(
    row_id: str,
    *,
    video: str = "",
    place: int = 0,
    clips: int = 1,
    prompt: str = "",
    seed: int | None = None,
    width: int = 832,
    priority: int = 0,
    not_before: float | None = None,
    image: str = "",
    speech: str = "",
) -> PlannedRow:
    """A row of one shot with so many clips of 97 frames, 10 s of device time each."""
    asked = prompt or f"prompt of {row_id}"
    drawn = sum(row_id.encode()) if seed is None else seed
    heard = Speech(original=ref(speech), normalised=ref(f"{speech}.16k"), samples=1, sample_rate=1) if speech else None
    shot = Shot(
        row_id=row_id,
        video=video or row_id,
        position=place,
        mode=Mode.TIA,
        prompt=asked,
        negative_prompt="",
        seed=drawn,
        width=width,
        height=480,
        frames=97 * clips,
        images=(Picture(object=ref(image), width=64, height=64),) if image else (),
        speech=heard,
        priority=priority,
        not_before=datetime.fromtimestamp(not_before, UTC) if not_before else None,
    )
    jobs = tuple(_job(shot, index, clips) for index in range(clips))
    return PlannedRow(
        row_id=row_id, line=0, position=0, byte_start=0, byte_end=0, video=shot.video, shot=shot, jobs=jobs
    )


def _job(shot: Shot, index: int, clips: int) -> RenderJob:
    request = RenderRequest(
        engine="animatic",
        engine_version="1",
        model="test",
        model_digest="0" * 64,
        mode=shot.mode,
        prompt=shot.prompt,
        negative_prompt="",
        images=tuple(picture.object for picture in shot.images),
        speech=shot.speech.normalised if shot.speech else None,
        start_frame=97 * index,
        keep_frames=97,
        num_frames=97,
        seed=shot.seed,
        width=shot.width,
        height=shot.height,
        num_inference_steps=50,
        shift=8.0,
        guidance_text=5.0,
        guidance_audio=5.0,
        guidance_image=5.0,
    )
    return RenderJob(row_id=shot.row_id, index=index, clips=clips, request=request, estimated_s=10.0)


def bad_row(row_id: str, *, video: str = "") -> PlannedRow:
    """A row whose prompt is missing."""
    problem = RowProblem(
        row_id=row_id, line=0, column="prompt", code=Code.PROMPT_MISSING, message="prompt is empty", fix="write one"
    )
    return PlannedRow(
        row_id=row_id, line=0, position=0, byte_start=0, byte_end=0, video=video or row_id, problems=(problem,)
    )


def numbered(*rows: PlannedRow) -> tuple[PlannedRow, ...]:
    """The rows in manifest order: positions, lines and byte ranges follow."""
    return tuple(
        row._replace(position=n, line=n + 2, byte_start=10 * n, byte_end=10 * n + 9) for n, row in enumerate(rows)
    )


def sheet(*rows: PlannedRow, name: str = "spring", manifest: str = "", **settings: Any) -> Submission:
    stored = ManifestRef(
        object=ref(manifest or "none"),
        name=f"{name}.csv",
        encoding="utf-8",
        delimiter=",",
        line_end="\n",
        columns=("row_id", "prompt"),
        rows=len(rows),
    )
    return Submission(
        name=name,
        settings=CampaignSettings(model="test", engine="animatic", **settings),
        manifest=stored if manifest else None,
        rows=numbered(*rows),
    )


def started(ledger: Ledger, *rows: PlannedRow, name: str = "spring", **settings: Any) -> str:
    """A running campaign of these rows; its id."""
    campaign_id = ledger.submit(sheet(*rows, name=name, **settings)).campaign_id
    ledger.set_state(campaign_id, CampaignState.RUNNING)
    return campaign_id


# -- work --------------------------------------------------------------------------------------------------------------


def worker(name: str = "w1", *, bucket: str = "", campaign_id: str = "", pool: str = POOL) -> WorkerIdentity:
    return WorkerIdentity(worker=name, pool=pool, warm_bucket=bucket, campaign_id=campaign_id)


def claim(ledger: Ledger, name: str = "w1", *, ttl: float = TTL, **identity: Any) -> Lease:
    """The next render lease; there must be one."""
    lease = ledger.claim(worker(name, **identity), LeaseKind.RENDER, ttl=ttl)
    assert lease is not None
    return lease


def no_claim(ledger: Ledger, name: str = "w1", **identity: Any) -> bool:
    return ledger.claim(worker(name, **identity), LeaseKind.RENDER, ttl=TTL) is None


def claim_join(ledger: Ledger, name: str = "joiner", *, ttl: float = TTL, campaign_id: str = "") -> Lease:
    lease = ledger.claim(worker(name, campaign_id=campaign_id, pool=""), LeaseKind.JOIN, ttl=ttl)
    assert lease is not None
    return lease


def no_join(ledger: Ledger, campaign_id: str = "") -> bool:
    return ledger.claim(worker("joiner", campaign_id=campaign_id, pool=""), LeaseKind.JOIN, ttl=TTL) is None


def clip_of(lease: Lease) -> Clip:
    assert lease.job is not None
    key = f"clips/{lease.job.render_key}/{lease.object_stem}.mp4"
    return Clip(
        render_key=lease.job.render_key,
        object=ref(key),
        frames=97,
        fps=25,
        width=832,
        height=480,
        attempt_id=lease.attempt_id,
    )


def publication_of(lease: Lease) -> Publication:
    stem = f"videos/{lease.video_id}/{lease.object_stem}"
    return Publication(
        video=ref(f"{stem}.mp4"),
        poster=ref(f"{stem}.poster.jpg"),
        stills=(ref(f"{stem}.still-1.jpg"),),
        frames=97,
        duration_s=3.88,
        width=832,
        height=480,
        attempt_id=lease.attempt_id,
    )


def render(ledger: Ledger, name: str = "w1", *, device_s: float = 7.0, **identity: Any) -> Lease:
    """Claim one job and complete it."""
    lease = claim(ledger, name, **identity)
    ledger.complete(lease, clip_of(lease), device_s=device_s)
    return lease


def join(ledger: Ledger, name: str = "joiner") -> Lease:
    """Claim one join and publish it."""
    lease = claim_join(ledger, name)
    ledger.checking(lease)
    ledger.publish(lease, publication_of(lease))
    return lease


def finish(ledger: Ledger) -> None:
    """Render and publish everything that can be."""
    while (lease := ledger.claim(worker(), LeaseKind.RENDER, ttl=TTL)) is not None:
        ledger.complete(lease, clip_of(lease), device_s=7.0)
    while (lease := ledger.claim(worker("joiner", pool=""), LeaseKind.JOIN, ttl=TTL)) is not None:
        ledger.checking(lease)
        ledger.publish(lease, publication_of(lease))


def failure(ending: Ending = Ending.WORKER_FAULT, message: str = "it broke") -> Failure:
    return Failure.of(ending, message, phase="denoise")


PREEMPTED = Failure.of(Ending.PREEMPTED, "the node drains", phase="denoise")
