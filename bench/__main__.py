"""`python -m bench`: measure, print a table, write JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import claims, ingest, joins, machine, resume, status, uploads, worker_cost
from bench.bench import Bench
from bench.big import BigCampaigns
from bench.databases import every_kind
from bench.figure import Figure, Size

BENCHMARKS = {
    "ingest": ingest.run,
    "claims": claims.run,
    "status": status.run,
    "resume": resume.run,
    "joins": joins.run,
    "uploads": uploads.run,
    "worker": worker_cost.run,
}


def main(argv: Sequence[str]) -> int:
    arguments = command_line().parse_args(argv)
    names = arguments.only or list(BENCHMARKS)
    report = measure(names, Size(arguments.size))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {arguments.json}")
    return 0


def measure(names: Sequence[str], size: Size) -> dict[str, Any]:
    """Run the named benchmarks one after the other; each figure is printed as it comes."""
    report: dict[str, Any] = {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": size.value,
        "machine": machine.describe(),
        "load_before": machine.load(),
        "seconds": {},
        "figures": [],
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, every_kind(Path(folder)) as databases:
        bench = Bench(size=size, folder=Path(folder), databases=databases, campaigns=BigCampaigns(size))
        for name in names:
            began = time.monotonic()
            for figure in BENCHMARKS[name](bench):
                _show(figure)
                report["figures"].append(figure.as_dict())
            report["seconds"][name] = round(time.monotonic() - began, 1)
    report["load_after"] = machine.load()
    return report


def _show(figure: Figure) -> None:
    verdict = {True: "met", False: "MISSED", None: ""}[figure.is_met]
    goal = f"target {figure.target}" if figure.target else ""
    print(f"{figure.name:36} {figure.value:10.4g}  {goal:16} {verdict:7} {figure.unit}", flush=True)


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help="one benchmark; repeatable")
    parser.add_argument("--json", type=Path, default=Path("out/bench.json"), metavar="FILE", help="where figures go")
    parser.add_argument(
        "--quick",
        dest="size",
        action="store_const",
        const="quick",
        default="full",
        help="small amounts, in well under a minute",
    )
    parser.add_argument("--size", choices=list(Size), default="full", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
