"""One installation under attack: a campaign of small clips, slots that are always filled, and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flows.campaign.intake import ManifestSource, checked_manifest, store_inputs, to_submission
from flows.stages.executor import InlineExecutor
from schemas.settings import Settings, environment
from schemas.states import CampaignState
from storage.ledger.protocol import Ledger
from storage.ledger.schema import upgrade
from storage.ledger.sql.engine import make_engine, parse_url
from storage.places import open_ledger_of, open_store_of
from tests.support.chaos_audit import Finding, audit
from tests.support.chaos_deck import Card, Deck
from tests.support.chaos_plan import Chronicle, Life, Plan, Role, Slot, Strike, log_path
from tests.support.cli import silent_rows, write_picture, write_sheet

ROOT = Path(__file__).parents[2]
MARK = "CALLSHEET_TEST_ARENA"
NOTHING_LEFT_S = 10.0


@dataclass(kw_only=True, eq=False)
class Arena:
    """`folder` is new; `database_url` empty means a SQLite file in it."""

    folder: Path
    database_url: str = ""
    store: dict[str, str] = field(default_factory=dict)
    """Settings of an object store as variables; empty: a directory."""
    lease_ttl_s: float = 2.0
    outages: list[tuple[float, float]] = field(default_factory=list)
    _rounds: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.database_url:
            engine = make_engine(parse_url(self.database_url))
            upgrade(engine)
            engine.dispose()

    @property
    def settings(self) -> Settings:
        from schemas.settings import resolve

        mine = {
            "CALLSHEET_HOME": str(self.folder / "home"),
            "CALLSHEET_DATABASE_URL": self.database_url,
            "CALLSHEET_LEASE_TTL_S": str(self.lease_ttl_s),
        }
        return resolve(environ=mine | self.store).settings

    def open_ledger(self) -> Ledger:
        return open_ledger_of(self.settings)

    def submit(
        self, rows: Sequence[dict[str, str]], *, name: str = "sheet", max_attempts: int = 20, ranks: int = 1
    ) -> str:
        """The way every sheet goes, up to a running campaign; its id."""
        folder = self.folder / "sheets"
        write_picture(folder)
        path = write_sheet(folder, rows, f"{name}.csv")
        chosen = {"model": "humo-1.7B", "engine": "pattern", "max_attempts": max_attempts, "ranks": ranks}
        executor = InlineExecutor()
        ledger = self.open_ledger()
        try:
            with checked_manifest(ManifestSource(path=path, overrides=chosen), self.settings, executor) as checked:
                assert checked.is_clean, checked.problems
                manifest = store_inputs(checked, open_store_of(self.settings), executor)
                report = ledger.submit(to_submission(checked, manifest))
            ledger.set_state(report.campaign_id, CampaignState.RUNNING)
            return report.campaign_id
        finally:
            ledger.close()

    # -- slots -----------------------------------------------------------------------------------------------------

    def worker(self, number: int, hand: Sequence[Card] = (), **how: object) -> Slot:
        name = f"worker-{number}"
        return Slot.model_validate({"name": name, "role": Role.WORKER, "deck": self._deck(name, hand), **how})

    def flow(self, number: int, campaign_id: str, hand: Sequence[Card] = (), **how: object) -> Slot:
        name, deck = f"flow-{number}", self._deck(f"flow-{number}", hand)
        told = {"name": name, "role": Role.FLOW, "deck": deck, "campaign_id": campaign_id}
        return Slot.model_validate(told | how)

    def _deck(self, name: str, hand: Sequence[Card]) -> str:
        path = self.folder / f"round-{self._rounds}" / f"{name}.deck"
        path.parent.mkdir(exist_ok=True)
        Deck.write(path, list(hand))
        return str(path)

    # -- running ---------------------------------------------------------------------------------------------------

    def start(
        self,
        slots: Sequence[Slot],
        strikes: Sequence[Strike] = (),
        *,
        deadline_s: float = 240.0,
        prefix: Sequence[str] = (),
    ) -> Running:
        folder = self.folder / f"round-{self._rounds}"
        self._rounds += 1
        plan = Plan(
            folder=str(folder),
            settings=environment(self.settings),
            slots=list(slots),
            strikes=list(strikes),
            deadline_s=deadline_s,
        )
        (folder / "plan.json").write_text(plan.model_dump_json())
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("CALLSHEET_", "PREFECT_"))}
        with (folder / "keeper.log").open("wb") as log:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "tests.support.chaos_keeper", str(folder / "plan.json")],
                cwd=ROOT,
                env=clean | {MARK: str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return Running(arena=self, plan=plan, folder=folder, process=process)

    def leftovers(self) -> list[str]:
        """Processes of ended runs that still live; waits a little for them to go."""
        until = time.monotonic() + NOTHING_LEFT_S
        while (found := list(self._living())) and time.monotonic() < until:
            time.sleep(0.1)
        return found

    def _living(self) -> list[str]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                is_mine = str(self.folder) in line or process.environ().get(MARK) == str(self.folder)
                if is_mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid}: {line[:120]}")
        return found


@dataclass(kw_only=True)
class Running:
    """A keeper under way."""

    arena: Arena
    plan: Plan
    folder: Path
    process: subprocess.Popen[bytes]

    def log(self, slot: str) -> str:
        path = log_path(self.folder, slot)
        return path.read_text(errors="replace") if path.exists() else ""

    def until(self, holds: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Poll; the logs are shown when it never comes to be."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.stop()
                raise AssertionError("\n".join(self.log(slot.name)[-2000:] for slot in self.plan.slots))
            time.sleep(0.05)

    def wait(self) -> Chronicle:
        """Until every flow came to its end, or the keeper's deadline."""
        code = self.process.wait(self.plan.deadline_s + 60.0)
        assert code in (0, 1), (code, (self.folder / "keeper.log").read_text()[-3000:])
        return self._chronicle(ended=code == 0)

    def _chronicle(self, *, ended: bool) -> Chronicle:
        decks = [Deck(Path(slot.deck)) for slot in self.plan.slots]
        return Chronicle(
            lives=[Life(**line) for line in _lines(self.folder / "lives.jsonl")],
            kills=[kill for deck in decks for kill in deck.fired],
            strikes=_lines(self.folder / "strikes.jsonl"),
            left=sum(len(deck.left) for deck in decks),
            logs={slot.name: self.log(slot.name) for slot in self.plan.slots},
            outages=self.arena.outages,
            ended=ended,
        )

    def stop(self) -> None:
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            self.process.wait()


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def merge(chronicles: Sequence[Chronicle]) -> Chronicle:
    """Several rounds on one ledger as one story."""
    return Chronicle(
        lives=[life for one in chronicles for life in one.lives],
        kills=[kill for one in chronicles for kill in one.kills],
        strikes=[strike for one in chronicles for strike in one.strikes],
        left=chronicles[-1].left,
        logs={
            slot: "\n".join(one.logs.get(slot, "") for one in chronicles)
            for slot in {slot for one in chronicles for slot in one.logs}
        },
        outages=[outage for one in chronicles for outage in one.outages],
        ended=all(one.ended for one in chronicles),
    )


def audited(arena: Arena, chronicle: Chronicle) -> Finding:
    found = audit(arena.settings, chronicle)
    left = arena.leftovers()
    found.require(not left, f"processes outlived their run: {left}")
    return found


def clips(count: int, *, pairs: int = 0, prompt: str = "a person waits") -> list[dict[str, str]]:
    """That many rows of ten frames; the first `pairs` times two of them share a video."""
    rows = silent_rows(count, prompt=prompt)
    for number in range(pairs):
        for row in rows[2 * number : 2 * number + 2]:
            row["video"] = f"pair-{number:03d}"
    return rows
