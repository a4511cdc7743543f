"""Minutes without Prefect: `python -m tests.flows.prefect.long_outage [SECONDS]`, ten minutes unless said."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.support.outage import judge, ride_out
from tests.support.prefect_database import share_database
from tests.support.prefect_server import fallible_server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.flows.prefect.long_outage", description=__doc__)
    parser.add_argument("away_s", nargs="?", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument(
        "--slow", type=float, default=0.3, metavar="S", help="seconds that the engine takes for a batch"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        share_database(folder)
        with fallible_server(folder / "server") as server:
            prompt = f"slowly [slow={asked.slow}]"
            seen = ride_out(folder / "work", server, rows=asked.rows, away_s=asked.away_s, prompt=prompt)
            judge(seen, asked.rows)
    print(f"{asked.away_s:.0f} s without Prefect: {asked.rows} videos published, run {seen.run['state_name']}")


if __name__ == "__main__":
    main()
