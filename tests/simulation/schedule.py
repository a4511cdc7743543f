"""One schedule: a small campaign, what befalls it, and whether it kept its promises. A seed says all of it."""

from __future__ import annotations

import logging
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from schemas import model_spec
from schemas.clip import Clip
from schemas.object_ref import ObjectRef
from schemas.states import CampaignState, VideoState
from storage.objects import again
from storage.objects.orphans import MIN_AGE_S
from storage.objects.verified import put_input
from tests.simulation.bank import Bank, Teller
from tests.simulation.fate import Fate
from tests.simulation.flowing import start_flow
from tests.simulation.invariants import Auditor, Reader, what_is_left_over, what_is_unfinished
from tests.simulation.janitors import start_janitor, sweep_orphans
from tests.simulation.mishaps import CALM, draw
from tests.simulation.operators import Operator, Sheet, draw_sheet, edited
from tests.simulation.warehouse import Warehouse
from tests.simulation.workers import start_worker
from tests.simulation.world import Call, Fault, Note, Process, World

TTL_S = 20.0
TROUBLE_S = 120.0
"""Mishaps end here."""
BOUND_S = TROUBLE_S + 3600.0
"""Everything has ended here: the longest step deadline is 900 s, and a row may need several attempts."""
WATCH_S = 5.0
"""How often the cluster looks whether a process is missing."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one schedule."""

    seed: int
    faults: tuple[Fault, ...]
    seconds: float
    """Simulated."""
    events: int
    struck: Mapping[str, int]
    """How often each kind of mishap happened."""
    notes: tuple[Note, ...]

    @property
    def is_well(self) -> bool:
        return not self.faults


def run_schedule(seed: int) -> Outcome:
    """Play one schedule from its beginning to its end, or to the first broken promise."""
    with tempfile.TemporaryDirectory(prefix="callsheet-sim-", dir=_memory_folder()) as folder:
        return Schedule(seed, Path(folder)).play()


def _memory_folder() -> str | None:
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() else None


class Schedule:
    def __init__(self, seed: int, folder: Path) -> None:
        self.world = world = World(seed)
        self.chance = world.random
        self.folder = folder
        self.fate = Fate(world, draw(self.chance), TROUBLE_S, TTL_S)
        self.bank = Bank(world)
        self.warehouse = Warehouse(world)
        self.auditor = Auditor(world, self.bank, self.warehouse, TTL_S)
        self.workers: dict[str, Process] = {}
        self.flows: dict[str, Process] = {}
        self.people: list[Process] = []
        self.pauses = 0
        """Pauses that somebody still means to end."""

    def play(self) -> Outcome:
        world = self.world
        # The jitter of the code under test is drawn from here.
        random.seed(world.seed)
        with _quiet(), _sleeping(world):
            self._begin()
            in_time = world.run(until=BOUND_S, is_over=self._is_over)
            if not in_time and not world.faults:
                late = f"not at its end {BOUND_S - TROUBLE_S:.0f} s after the last mishap"
                world.blame("everything_ends", f"{late}: {self._unfinished()}")
            world.close()
            if in_time:
                self._sweep_up()
        return Outcome(
            seed=world.seed,
            faults=tuple(world.faults),
            seconds=world.now,
            events=world.events,
            struck=self.fate.struck,
            notes=tuple(world.notes),
        )

    # -- the beginning -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        world, chance = self.world, self.chance
        world.note("seed", f"{world.seed}: {self.fate.mishaps}")
        picture = put_input(self.warehouse.truth, b"a picture", "image/png")
        sheet = draw_sheet(chance, poison=chance.random() < 0.1)
        setup = Teller(self.bank, self._process("setup", person=True), Fate(world, CALM, 0.0, TTL_S))
        self.campaign_id: str = setup.submit(sheet.submission(picture)).campaign_id
        setup.set_state(self.campaign_id, CampaignState.RUNNING)
        world.note("sheet", ", ".join(f"{r.row_id}: {r.prompt!r} x{r.clips} in {r.video}" for r in sheet.rows))
        for number in range(chance.randint(1, 3)):
            self._start_worker(f"w{number}")
        for number in range(chance.choice((1, 1, 2))):
            self._start_flow(f"f{number}")
        if chance.random() < 0.3:
            self._start_janitor()
        self._plan_people(sheet, picture)
        self._plan_disasters()
        self.bank.on_commit += [self._lose_clips, self._think_again]
        world.call_at(WATCH_S, self._watch)

    def _process(self, name: str, *, person: bool = False) -> Process:
        """A person, whose clock is right and who does not die here, or a process."""
        off, rate = (0.0, 1.0) if person else (self.chance.uniform(0, 7200), self.chance.uniform(0.95, 1.05))
        process = Process(self.world, name, clock_off=off, clock_rate=rate, mortal=not person)
        self.auditor.excuses[name] = process.excuses
        return process

    def _start_worker(self, name: str) -> None:
        self.workers[name] = process = self._process(name)
        start_worker(process, bank=self.bank, warehouse=self.warehouse, fate=self.fate, scratch=self.folder, ttl=TTL_S)

    def _start_flow(self, name: str) -> None:
        self.flows[name] = process = self._process(name)
        start_flow(
            process,
            bank=self.bank,
            warehouse=self.warehouse,
            fate=self.fate,
            scratch=self.folder,
            ttl=TTL_S,
            campaign_id=self.campaign_id,
        )

    def _start_janitor(self) -> None:
        process = self._process(f"janitor{len(self.world.processes)}")
        start_janitor(process, bank=self.bank, warehouse=self.warehouse, fate=self.fate)

    # -- people ------------------------------------------------------------------------------------------------

    def _plan_people(self, sheet: Sheet, picture: ObjectRef) -> None:
        for number in range(self.chance.choice((0, 0, 1, 2))):
            process = self._process(f"op{number}", person=True)
            operator = Operator(process, Teller(self.bank, process, self.fate), self.campaign_id, picture)
            deeds = [self._deed(operator, process, sheet) for _ in range(self.chance.randint(1, 3))]
            self.people.append(process)
            process.start(partial(self._live, process, deeds))

    def _live(self, process: Process, deeds: list[Callable[[], None]]) -> None:
        for deed in deeds:
            process.sleep(self.chance.uniform(0.5, TROUBLE_S / 3))
            for _ in range(self.chance.choice((1, 1, 2))):  # some press the key twice
                deed()

    def _deed(self, operator: Operator, process: Process, sheet: Sheet) -> Callable[[], None]:
        other = edited(sheet, self.chance)

        def pause() -> None:
            self.pauses += 1
            operator.pause()
            process.sleep(self.chance.uniform(1.0, 40.0))
            self.pauses -= 1
            operator.run()

        def retry() -> None:
            operator.retry((VideoState.FAILED, VideoState.CANCELLED))

        def again() -> None:
            operator.retry((VideoState.FAILED, VideoState.PUBLISHED, VideoState.CANCELLED))

        def resubmit() -> None:
            operator.submit(other)
            operator.run()

        return self.chance.choice((operator.cancel, pause, retry, again, resubmit, resubmit))

    def _think_again(self, call: Call) -> None:
        if call.verb == "checking" and self.fate.strikes("second_thoughts"):
            process = self._process(f"late{len(self.world.processes)}", person=True)
            self.people.append(process)
            process.start(Operator(process, Teller(self.bank, process, self.fate), self.campaign_id, None).cancel)

    # -- disasters ---------------------------------------------------------------------------------------------

    def _plan_disasters(self) -> None:
        if self.fate.mishaps is not CALM and self.chance.random() < 0.3:
            self.bank.keeps_copies = True
            when, commits = (
                self.chance.uniform(5.0, TROUBLE_S / 2),
                self.chance.choice((0, 0, 0, self.chance.randint(1, 30))),
            )
            self.world.call_at(when, lambda: self._lose_commits(commits))

    def _lose_commits(self, commits: int) -> None:
        """An older copy of the ledger is put in its place; 0: one that does not know the last lease.

        What struck the ledger may strike those who work with it, who then sleep through what follows.
        """
        self.bank.lose(commits or self.bank.since_a_claim())
        for process in self.world.processes:
            if process.alive and process.mortal and self.chance.random() < 0.3:
                process.freeze(min(self.chance.uniform(0.2, 3.0) * TTL_S, TROUBLE_S - self.world.now))

    def _lose_clips(self, call: Call) -> None:
        if call.verb == "complete" and self.fate.strikes("clip_vanishes"):
            self.world.call_at(self.world.now + self.chance.uniform(0.0, 10.0), self._lose_clip)

    def _lose_clip(self) -> None:
        clips = self.auditor.before.clips
        if clips:
            key = Clip.model_validate_json(clips[self.chance.choice(sorted(clips))]["clip"]).object.key
            self.world.note("store", f"{key} VANISHED")
            self.warehouse.truth.delete(key)
            self.warehouse.vanished.add(key)

    # -- the cluster -------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Start what is missing, as a cluster does; and have somebody approve what waits for it."""
        world = self.world
        for name, process in list(self.workers.items()):
            if not process.alive and self.chance.random() < 0.5:
                self._start_worker(_successor(name))
                del self.workers[name]
        able = [p for p in self.workers.values() if p.alive and p.name not in self.fate.hung]
        if world.now >= TROUBLE_S and not able:
            self._start_worker(f"spare{len(self.world.processes)}")
        state = self._state()
        for name, process in list(self.flows.items()):
            if not process.alive:
                del self.flows[name]
        if state not in _ENDED and not any(p.name not in self.fate.hung for p in self.flows.values()):
            self._start_flow(f"f{len(self.world.processes)}")
        if state in (CampaignState.PLANNED, CampaignState.PAUSED) and not self.pauses:
            self._approve()
        world.call_at(world.now + WATCH_S, self._watch)

    def _approve(self) -> None:
        process = self._process(f"boss{len(self.world.processes)}", person=True)
        self.people.append(process)
        operator = Operator(process, Teller(self.bank, process, self.fate), self.campaign_id, None)
        process.start(operator.run)

    def _state(self) -> str:
        campaign = self.auditor.before.campaigns.get(self.campaign_id)
        return campaign["state"] if campaign else ""

    # -- the end -----------------------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        if self._state() not in _ENDED or any(not f.dead for p in self.people for f in p.fibers):
            return False
        if self.bank.keeps_copies and self.world.now < TROUBLE_S:
            return False
        return not self._unfinished()

    def _sweep_up(self) -> None:
        """Some days later: orphans are collected, and what is left is what the ledger counts."""
        teller = Teller(self.bank, self._process("sweeper", person=True), Fate(self.world, CALM, 0.0, TTL_S))
        sweep_orphans(teller, self.warehouse.truth, clock=lambda: self.world.ledger_clock() + MIN_AGE_S)
        self.warehouse.version += 1
        for wrong in what_is_left_over(Reader(self.bank.raw).read(), self.warehouse):
            self.world.blame("a_sweep_leaves_what_counts", wrong)

    def _unfinished(self) -> str:
        return what_is_unfinished(Reader(self.bank.raw).read())


_ENDED = (CampaignState.DONE, CampaignState.DONE_WITH_ERRORS, CampaignState.CANCELLED)


def _successor(name: str) -> str:
    """Half of all workers come back under their name, as a Job's index does; the others as somebody new."""
    stem, _, life = name.partition(".")
    return f"{stem}.{int(life or 0) + 1}"


@contextmanager
def _quiet() -> Iterator[None]:
    """What the code under test logs is of no interest here, and costs time."""
    logger = logging.getLogger("callsheet")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _sleeping(world: World) -> Iterator[None]:
    """Pauses between two tries at one object pass on the world's clock; and nobody reads the disk for plug-ins."""
    clock = SimpleNamespace(sleep=world.suspend)
    with mock.patch.object(again, "time", clock), mock.patch.object(model_spec, "entry_points", return_value=()):
        yield
