"""`python -m tests.simulation --seed N --trace` replays one schedule; `--seeds N` plays many."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.schedule import Outcome, run_schedule


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this schedule")
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="play so many schedules")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them")
    parser.add_argument("--trace", action="store_true", help="print every event")
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first broken promise")
    asked = parser.parse_args()
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.first + asked.seeds)
    began, broken, played = time.monotonic(), 0, 0
    for seed in seeds:
        outcome = run_schedule(seed)
        played += 1
        if asked.trace:
            print("\n".join(map(str, outcome.notes)))
        if not outcome.is_well:
            broken += 1
            _tell(outcome)
            if not asked.keep_going:
                break
    took = time.monotonic() - began
    print(f"{played} schedules, {broken} with a broken promise, {took:.1f} s ({1000 * took / played:.0f} ms each)")
    return 1 if broken else 0


def _tell(outcome: Outcome) -> None:
    for fault in outcome.faults:
        print(f"seed {outcome.seed} after {outcome.seconds:.1f} s: {fault}")


if __name__ == "__main__":
    sys.exit(main())
