"""Runs the command line again and again in one process and measures each run: starting 400 interpreters would cost more
than everything that is tried. `python -m tests.support.hostile_driver CORPUS FOLDER` reads `["case", "verb"]` in lines
of JSON and answers each with one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

import psutil

from tests.support.hostile import Case

MIB = 2**20
CLEAR_PEAK = "5"
"""What makes /proc/PID/clear_refs forget the largest memory so far (Linux 4.0)."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One call of the command line: what it said and what it cost; seconds, MiB."""

    case: str
    verb: str
    code: int
    stdout: str
    stderr: str
    stored: tuple[str, ...]
    """Files under the state folder afterwards."""
    reached: tuple[str, ...] = ()
    """Names looked up, addresses connected to and programs started, as the interpreter's own audit saw it."""
    cpu_s: float
    wall_s: float
    peak_mib: float
    """Largest memory of this process and of the largest of its children, added up."""


class Meter:
    """Processor time and peak memory of this process and its children, living and collected."""

    def __init__(self) -> None:
        self._me = psutil.Process()
        self._collected = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        for process in (self._me, *self._me.children(recursive=True)):
            with contextlib.suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text(CLEAR_PEAK)
        self._cpu, self._began = self._cpu_now(), time.monotonic()

    def read(self) -> tuple[float, float, float]:
        """(processor seconds, wall seconds, peak MiB) since the start."""
        living = [_peak_kib(child.pid) for child in self._me.children(recursive=True)]
        collected = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        largest = max([*living, collected if collected > self._collected else 0], default=0)
        peak = (_peak_kib(self._me.pid) + largest) / 1024
        return self._cpu_now() - self._cpu, time.monotonic() - self._began, peak

    def _cpu_now(self) -> float:
        total = 0.0
        for process in (self._me, *self._me.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        mine = self._me.cpu_times()
        return total + mine.children_user + mine.children_system


_REACHING = {
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.connect": 1,
    "socket.sendto": 1,
    "subprocess.Popen": 1,
    "os.system": 0,
    "os.exec": 0,
}
"""Audit events and which of their arguments says what is reached."""


class Watch:
    """What this process reaches for outside itself (PEP 578); a hook cannot be taken off again."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        sys.addaudithook(self._see)

    def _see(self, event: str, args: tuple[object, ...]) -> None:
        if event in _REACHING and not (event == "subprocess.Popen" and args[0] == sys.executable):
            self.reached.append(f"{event} {args[_REACHING[event]]!r}")


def _peak_kib(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def run_once(case: Case, sheet: Path, home: Path, verb: str, watch: Watch) -> Run:
    """`callsheet VERB SHEET --json` in this process, as its installed script would do it."""
    from flows.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=how) for how in ("strict", "backslashreplace"))
    sys.argv = ["callsheet", verb, str(sheet), "--home", str(home), "--json", *case.options]
    code = 0
    watch.reached.clear()
    meter = Meter()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
        except Exception:  # noqa: BLE001 - whatever escapes is the finding
            # What would be a traceback on a terminal is one in the answer, too.
            code = 1
            traceback.print_exc()
    cpu_s, wall_s, peak = meter.read()
    said = []
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]  # it is the BytesIO of above
    stored = sorted(str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir())
    return Run(
        case=case.name,
        verb=verb,
        code=code,
        stdout=said[0],
        stderr=said[1],
        stored=tuple(stored),
        reached=tuple(watch.reached),
        cpu_s=cpu_s,
        wall_s=wall_s,
        peak_mib=peak,
    )


def run_case(case: Case, folder: Path, verb: str, watch: Watch) -> Run:
    """One verb on files made anew, with a state folder of its own."""
    here, home = folder / "case", folder / "home"
    try:
        for made in (here, home):
            made.mkdir(parents=True)
        return run_once(case, case.build(here), home, verb, watch)
    finally:
        for made in (here, home):
            shutil.rmtree(made, ignore_errors=True)


def main() -> None:
    _, module, folder = sys.argv
    corpus = {case.name: case for case in import_module(module).corpus()}
    watch = Watch()
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    for line in sys.stdin:
        name, verb = json.loads(line)
        answers.write(json.dumps(asdict(run_case(corpus[name], Path(folder), verb, watch))) + "\n")


if __name__ == "__main__":
    main()
