"""Worker processes of this machine, started for one campaign and ended with it."""

from __future__ import annotations

import logging
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from schemas.errors import Permanent
from schemas.settings import Settings, environment
from schemas.worker_exit import WorkerExit

log = logging.getLogger("callsheet.workers")

RESTARTS = 20
"""A worker that dies this often under one campaign is not started again."""


@dataclass
class _Slot:
    name: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    restarts: int = 0


@dataclass(kw_only=True)
class LocalWorkers:
    """`count` workers of one engine and model, watched and started again when they die.

    They are processes (`python -m model_runtime worker`): the flow never imports the runtime.
    """

    settings: Settings
    engine: str
    model: str
    ranks: int
    count: int
    campaign_id: str
    log_folder: Path
    grace_s: float = 5.0
    _slots: list[_Slot] = field(default_factory=list)

    def start(self) -> None:
        self.log_folder.mkdir(parents=True, exist_ok=True)
        for number in range(self.count):
            name = f"{platform.node()}-{number}"
            logfile = (self.log_folder / f"worker-{number}.log").open("ab")
            self._slots.append(_Slot(name=name, log=logfile, process=self._spawn(name, logfile)))

    def _spawn(self, name: str, logfile: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "model_runtime", "worker", "--engine", self.engine, "--model", self.model]
        command += ["--ranks", str(self.ranks), "--name", name, "--campaign", self.campaign_id, "--with-parent"]
        command += ["--grace", str(self.grace_s)]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("CALLSHEET_")}
        return subprocess.Popen(
            command,
            env=inherited | environment(self.settings),
            stdin=subprocess.DEVNULL,
            stdout=logfile,
            stderr=subprocess.STDOUT,
            # Its own group: Ctrl-C in the terminal reaches the flow alone, which then ends the workers in order.
            start_new_session=True,
        )

    def watch(self) -> None:
        """Start dead workers again.

        Raises:
            Permanent: a worker refuses its configuration or its weights, or the machine is sick; says where the log is.
        """
        for slot in self._slots:
            code = slot.process.poll()
            if code is None or code == 0:
                continue
            if code in (WorkerExit.BAD_CONFIGURATION, WorkerExit.SICK):
                raise Permanent(
                    f"worker {slot.name} ended with exit code {code}: {_last_line(Path(slot.log.name))}",
                    fix=f"read {slot.log.name}; `callsheet doctor` checks the settings",
                )
            if slot.restarts >= RESTARTS:
                raise Permanent(f"worker {slot.name} died {RESTARTS} times", fix=f"read {slot.log.name}")
            slot.restarts += 1
            log.warning("worker %s died (exit code %s); started again", slot.name, code)
            slot.process = self._spawn(slot.name, slot.log)

    def stop(self) -> None:
        """SIGTERM to all, the grace period to give their work back, then SIGKILL."""
        for slot in self._slots:
            if slot.process.poll() is None:
                slot.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self.grace_s + 5.0
        for slot in self._slots:
            try:
                slot.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(slot.process.pid, signal.SIGKILL)
                slot.process.wait()
            slot.log.close()
        self._slots.clear()

    @property
    def alive(self) -> int:
        return sum(slot.process.poll() is None for slot in self._slots)


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
