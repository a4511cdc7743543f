"""Running hostile cases: many in one process, or each in a process of its own; and judging what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.cli import ROOT, Cli
from tests.support.hostile import Case, Said
from tests.support.hostile_driver import Run

WORK_S = 4.0
"""Processor time that one hostile file may cost, interpreter start not counted: two seconds on a machine of its own,
and the tests share theirs."""
WALL_S = 30.0
"""Nothing may wait, but the machine may be busy with something else."""
MEMORY_MIB = 512.0

LAUNCH = """
import json, os, sys
facts, *command = sys.argv[1:]
pid = os.spawnv(os.P_NOWAIT, command[0], command)
_, status, usage = os.wait4(pid, 0)
cpu_s, peak_kib = usage.ru_utime + usage.ru_stime, usage.ru_maxrss
used = {"code": os.waitstatus_to_exitcode(status), "cpu_s": cpu_s, "peak_kib": peak_kib}
with open(facts, "w") as stream:
    json.dump(used, stream)
"""
"""A small process between: a child's peak memory begins with that of whoever forked it, and a test process is large.

wait4 counts the command and all of its descendants that were waited for.
"""


def run_batch(
    corpus: str,
    asked: Sequence[tuple[Case, str]],
    folder: Path,
    *,
    timeout_s: float,
    environ: Mapping[str, str] | None = None,
) -> dict[tuple[str, str], Run]:
    """All of `asked` through one process; the answers by case name and verb. `corpus` is the module that has the cases.

    Raises:
        AssertionError: the process died of a case, or hung on one.
    """
    cli = Cli(folder=folder, environ={"CALLSHEET_EXECUTOR": "inline", **(environ or {})})
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.hostile_driver", corpus, str(folder)],
        cwd=ROOT,
        env=cli.full_environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        watch = threading.Timer(timeout_s, process.kill)
        watch.start()
        answers = {}
        try:
            for case, verb in asked:
                process.stdin.write(json.dumps([case.name, verb]) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                assert line, f"{verb} of {case.name!r} ended or hung the process ({process.poll()})"
                answers[case.name, verb] = run_from(line)
        finally:
            watch.cancel()
            process.stdin.close()
    return answers


def run_from(line: str) -> Run:
    """What the driver said of one run."""
    facts = json.loads(line)
    return Run(**facts | {"stored": tuple(facts["stored"]), "reached": tuple(facts["reached"])})


def run_alone(case: Case, verb: str, folder: Path) -> Run:
    """One case as a user meets it: a process of its own, measured with all that it starts."""
    here, home = folder / "case", folder / "home"
    here.mkdir(parents=True)
    home.mkdir()
    sheet = case.build(here)
    cli = Cli(folder=folder)
    began = time.monotonic()
    facts = folder / "usage.json"
    command = cli.command(verb, sheet, "--home", home, "--json", *case.options)
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCH, str(facts), *command],
        cwd=here,
        env=cli.full_environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        # Generous: in the long run the machine has other things to do, and what counts is processor time.
        timeout=WALL_S * 10,
    )
    used = json.loads(facts.read_text())
    return Run(
        case=case.name,
        verb=verb,
        code=used["code"],
        stdout=done.stdout.decode(),
        stderr=done.stderr.decode(),
        stored=tuple(sorted(str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir())),
        cpu_s=used["cpu_s"],
        wall_s=time.monotonic() - began,
        peak_mib=used["peak_kib"] / 1024,
    )


def said_by(run: Run) -> list[Said]:
    """The problems of the JSON report."""
    problems = json.loads(run.stdout)["problems"]
    return sorted(Said(line=p["line"], column=p["column"], code=p["code"], row_id=p["row_id"]) for p in problems)


def faults_of(case: Case, run: Run, *, start_s: float = 0.0, looks_up: bool = False) -> list[str]:
    """What is wrong with an answer; empty for the right one. `start_s` is what an interpreter costs by itself;
    `looks_up`: names may be looked up."""
    found = []
    if run.code != 2:
        found.append(f"exit code {run.code}")
    if "fetched-" in run.stdout + run.stderr:
        found.append("the name of a private copy")
    if "Traceback" in run.stderr:
        found.append("a traceback")
    if reached := [what for what in run.reached if not (looks_up and what.startswith("socket.getaddrinfo"))]:
        found.append(f"reached for {reached[:3]}")
    if run.stored:
        found.append(f"stored {run.stored[:3]}")
    if run.cpu_s - start_s > WORK_S or run.wall_s > WALL_S:
        found.append(f"took {run.cpu_s - start_s:.1f} s of work, {run.wall_s:.1f} s in all")
    if run.peak_mib > MEMORY_MIB:
        found.append(f"took {run.peak_mib:.0f} MiB")
    found += [f"raw {c!r} on the terminal" for c in {*run.stdout, *run.stderr} if c != "\n" and not c.isprintable()]
    if case.said and not found:
        found += [f"said {said}" for said in _difference(said_by(run), sorted(case.said))]
    elif not case.said and not (case.error and case.error in run.stderr):
        found.append(f"stderr lacks {case.error!r}")
    return [*found, run.stderr[-800:]] if found else []


def _difference(said: Sequence[Said], expected: Sequence[Said]) -> list[str]:
    if said == expected:
        return []
    missing = [f"not {one}" for one in expected if one not in said][:5]
    return missing + [str(one) for one in said if one not in expected][:5] or [f"{len(said)} for {len(expected)}"]


@dataclass
class Figures:
    """What a run of the corpus showed, for the page on security."""

    name: str
    cases: int = 0
    runs: list[Run] = field(default_factory=list)

    def __str__(self) -> str:
        slowest = max(self.runs, key=lambda run: run.cpu_s)
        largest = max(self.runs, key=lambda run: run.peak_mib)
        return (
            f"{self.name}: {self.cases} cases, {len(self.runs)} runs; "
            f"slowest {slowest.cpu_s:.2f} s of processor time ({slowest.case}); "
            f"largest {largest.peak_mib:.0f} MiB ({largest.case})"
        )


FIGURES: list[object] = []
"""Printed at the end of the tests' report."""


def note_figures(name: str, runs: Iterable[Run]) -> None:
    runs = list(runs)
    FIGURES.append(Figures(name=name, cases=len({run.case for run in runs}), runs=runs))
