"""Five hundred schedules of faults against the code that ships, and what a seed promises."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest

from schemas.clip import Clip
from tests.simulation import schedule
from tests.simulation.invariants import promises
from tests.simulation.mishaps import Mishaps
from tests.simulation.schedule import Schedule, run_schedule

SCHEDULES = 500
AT_ONCE = 25
ROOT = Path(__file__).resolve().parents[2]
REPLAY_S = 5.0
"""A replay takes a tenth of a second; the rest is for a machine that is busy with other things."""

_played: set[int] = set()
_struck: Counter[str] = Counter()


@pytest.mark.parametrize("first", range(0, SCHEDULES, AT_ONCE))
def test_no_schedule_breaks_a_promise(first: int) -> None:
    """Whatever befalls a small campaign, every promise holds after every event, and it comes to its end."""
    broken = []
    for seed in range(first, first + AT_ONCE):
        outcome = run_schedule(seed)
        _played.add(seed)
        _struck.update(outcome.struck)
        broken += [f"{fault}\n    replay: python -m tests.simulation --seed {seed} --trace" for fault in outcome.faults]
    assert not broken, "\n".join(broken)


def test_every_kind_of_mishap_happened() -> None:
    """Five hundred schedules meet every kind of mishap that there is, and each more than once."""
    if len(_played) < SCHEDULES:
        pytest.skip("only some schedules were played")
    rare = {each.name: _struck[each.name] for each in fields(Mishaps) if _struck[each.name] < 2}
    assert not rare


def test_a_seed_says_everything() -> None:
    """A seed replays one schedule, event for event, in any process."""
    first, second = (_trace(seed=7, hash_seed=hash_seed) for hash_seed in ("1", "2"))
    assert len(first) > 100
    assert first == second


def test_other_seeds_are_other_schedules() -> None:
    """Two seeds have two stories to tell."""
    stories = {tuple(map(str, run_schedule(seed).notes[1:])) for seed in range(4)}
    assert len(stories) == 4


def test_a_replay_is_quick() -> None:
    """A schedule that broke a promise is played again in less than five seconds."""
    began = time.thread_time()
    run_schedule(3)
    assert time.thread_time() - began < REPLAY_S


def test_the_store_is_looked_at_after_every_event(tmp_path: Path) -> None:
    """An object that changes under a pointer of the ledger is found before anything else happens."""
    play = Schedule(0, tmp_path)
    world = play.world
    spoilt_at: list[int] = []

    def spoil() -> None:
        clips = [Clip.model_validate_json(row["clip"]) for row in play.auditor.before.clips.values()]
        if clips and not spoilt_at:
            play.warehouse.truth.put_bytes(clips[0].object.key, b"something else", media_type="video/mp4")
            play.warehouse.version += 1
            spoilt_at.append(world.events)

    world.after_event.append(spoil)
    outcome = play.play()
    assert [fault.promise for fault in outcome.faults] == ["objects_are_as_the_ledger_says"]
    assert outcome.events == spoilt_at[0] + 1


def test_the_ledger_is_looked_at_with_every_transaction(tmp_path: Path) -> None:
    """A row that changes in a way that no transaction may change it is found with the next commit."""
    play = Schedule(0, tmp_path)
    spoilt: list[int] = []

    def spoil() -> None:
        if any(job["epoch"] for job in play.auditor.before.jobs.values()) and not spoilt:
            play.bank.raw.execute("UPDATE job SET epoch = epoch - 1 WHERE epoch > 0")
            spoilt.append(len(commits))

    commits: list[str] = []
    play.bank.on_commit.append(lambda call: commits.append(call.verb))
    play.world.after_event.append(spoil)
    outcome = play.play()
    assert "epochs_never_fall" in {fault.promise for fault in outcome.faults}
    assert len(commits) == spoilt[0] + 1


def test_what_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A campaign that nobody works for breaks the promise that everything ends."""
    monkeypatch.setattr(schedule, "start_worker", lambda *_, **__: None)
    outcome = run_schedule(0)
    assert [fault.promise for fault in outcome.faults] == ["everything_ends"]


def test_promises_are_said_in_words() -> None:
    """Every invariant has one sentence that says it."""
    assert [name for name, sentence in promises().items() if not sentence.endswith(".")] == []


def _trace(*, seed: int, hash_seed: str) -> list[str]:
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--trace"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()[:-1]
