"""Workers as real processes against one ledger: each renders, joins and sweeps until a campaign has no work left."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection

from schemas.attempt import Failure
from schemas.errors import LeaseLost
from schemas.lease import LeaseKind, Progress
from schemas.states import Ending, JobState
from storage.ledger.protocol import Ledger
from tests.support.ledgers import clip_of, publication_of, sql_ledger, worker

DEADLINE_S = 90.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """What one process is to do."""

    url: str
    campaign_id: str
    name: str
    ttl: float = 30.0
    dies_at: int = 0
    """Die without a word while holding this lease, counted from 1; 0: never."""
    releases_every: int = 0
    """Give back each so manieth lease; 0: none."""


@dataclass(kw_only=True)
class Record:
    """What one process did, by what it was told."""

    rendered: list[str] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    refused: int = 0
    """Leases that another took while this process was held up."""


def work(order: Order) -> Record:
    """Render and join until nothing is left of the campaign."""
    ledger = sql_ledger(order.url)
    record = Record()
    held = 0
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        lease = ledger.claim(worker(order.name), LeaseKind.RENDER, ttl=order.ttl)
        if lease is None:
            _join_one(ledger, order, record)
            ledger.reap()
            if _is_over(ledger, order.campaign_id):
                break
            time.sleep(0.02)
            continue
        held += 1
        if held == order.dies_at:
            os._exit(9)
        if order.releases_every and held % order.releases_every == 0:
            ledger.release(lease, Failure.of(Ending.PREEMPTED, "drain"))
            continue
        try:
            lease, _ = ledger.heartbeat(lease, Progress(phase="denoise"), device_s=0.5)
            ledger.complete(lease, clip_of(lease), device_s=1.0)
        except LeaseLost:
            record.refused += 1
        else:
            record.rendered.append(lease.subject)
    ledger.close()
    return record


def _join_one(ledger: Ledger, order: Order, record: Record) -> None:
    lease = ledger.claim(worker(order.name, pool=""), LeaseKind.JOIN, ttl=order.ttl)
    if lease is None:
        return
    try:
        ledger.checking(lease)
        ledger.publish(lease, publication_of(lease))
    except LeaseLost:
        record.refused += 1
    else:
        record.published.append(lease.video_id)


def _is_over(ledger: Ledger, campaign_id: str) -> bool:
    counts = ledger.counts(campaign_id)
    under_way = counts.jobs.get(JobState.QUEUED, 0) + counts.jobs.get(JobState.LEASED, 0)
    return not under_way and counts.ended_videos == counts.total_videos


def run_fleet(orders: Sequence[Order]) -> list[Record]:
    """Run each order in a process of its own; the records of those that lived."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pipes = []
    for order in orders:
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_report, args=(order, sending))
        process.start()
        sending.close()
        pipes.append((process, receiving))
    records = []
    for process, receiving in pipes:
        with suppress(EOFError):
            records.append(receiving.recv())
        process.join()
        process.close()
        receiving.close()
    return records


def _report(order: Order, pipe: Connection) -> None:
    pipe.send(work(order))
