"""Ten minutes without Prefect: `python -m tests.flows.prefect.long_outage [SECONDS]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.outage import judge, ride_out
from tests.support.prefect_server import fallible_server


def main() -> None:
    away_s = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    with tempfile.TemporaryDirectory() as folder, fallible_server(Path(folder) / "server") as server:
        seen = ride_out(Path(folder) / "work", server, rows=40, away_s=away_s, prompt="slowly [slow=0.3]")
        judge(seen, 40)
    print(f"{away_s:.0f} s without Prefect: 40 videos published meanwhile, run {seen.run['state_name']}")


if __name__ == "__main__":
    main()
