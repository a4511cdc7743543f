"""`--seed N --trace` replays one schedule, `--seeds N` plays many, `--defences` plays without each defence in turn."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

import storage
from tests.simulation.removal import SEEDS
from tests.simulation.schedule import Outcome, run_schedule
from tests.simulation.table import make_table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this schedule")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help="play so many schedules")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them")
    parser.add_argument("--trace", action="store_true", help="print every event")
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first broken promise")
    parser.add_argument("--json", action="store_true", help="print only the first broken promise, as JSON")
    parser.add_argument(
        "--defences", action="store_true", help="cut each defence out of a copy, and play --seeds there"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only this defence; may be repeated"
    )
    parser.add_argument("--write", metavar="PAGE", help="with --defences: write the table into this Markdown page")
    asked = parser.parse_args()
    if asked.defences:
        return make_table(seeds=asked.seeds, only=asked.only, page=asked.write)
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.first + asked.seeds)
    return _first_broken(seeds) if asked.json else _play(seeds, trace=asked.trace, keep_going=asked.keep_going)


def _play(seeds: Sequence[int], *, trace: bool, keep_going: bool) -> int:
    began, broken, played, events = time.monotonic(), 0, 0, 0
    for seed in seeds:
        outcome = run_schedule(seed)
        played += 1
        events += outcome.events
        if trace:
            print("\n".join(map(str, outcome.notes)))
        if not outcome.is_well:
            broken += 1
            _tell(outcome)
            if not keep_going:
                break
    took, cpu = time.monotonic() - began, time.process_time()
    print(f"{played} schedules, {events} events, {broken} with a broken promise, {took:.1f} s, {cpu:.1f} s of CPU")
    return 1 if broken else 0


def _tell(outcome: Outcome) -> None:
    for fault in outcome.faults:
        print(f"seed {outcome.seed} after {outcome.seconds:.1f} s: {fault}", flush=True)


def _first_broken(seeds: Sequence[int]) -> int:
    outcomes = (run_schedule(seed) for seed in seeds)
    broken = next((outcome for outcome in outcomes if not outcome.is_well), None)
    noticed = None
    if broken:
        fault = broken.faults[0]
        noticed = {"seed": broken.seed, "promise": fault.promise, "what": fault.what}
    print(json.dumps({"code": storage.__path__[0], "noticed": noticed}))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
