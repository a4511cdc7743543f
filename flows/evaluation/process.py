"""Shards as processes: `python -m model_runtime.evaluation`, because only they may bring torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from flows.evaluation.plan import Shard
from schemas.errors import InvalidInput, Permanent
from schemas.evaluation import ShardScores
from schemas.settings import PREFIX, Settings, environment
from storage.places import home_folder

Told = Callable[[str, int, int], None]
"""Phase (`render` or `read`), clips done and clips of the shard."""

_GRACE_S = 10.0


def store_folder(settings: Settings) -> Path:
    """Frames and scores of all evaluations of this installation, by content."""
    return home_folder(settings) / "evaluation"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where shards run and keep what they made."""

    settings: Settings
    store: Path
    processes: int = 1
    """That run at the same time, and share the cores."""
    gate_clips: int | None = None
    """True clips that the reader's gate is taken on; None: the reader's own number."""
    _running: set[subprocess.Popen[str]] = field(default_factory=set)

    def stop(self) -> None:
        """End every process that runs now; what it made is kept. Any thread may call."""
        for process in tuple(self._running):
            _end(process)

    def run(self, shard: Shard, told: Told) -> ShardScores:
        """Render what is missing of the shard, then read it. What is there already is not made again.

        Raises:
            InvalidInput: the process refuses what is asked: its own words.
            Permanent: it ended badly.
        """
        with TemporaryDirectory(prefix="evaluate-") as folder:
            asked, out = Path(folder) / "asked.json", Path(folder) / "scores.json"
            asked.write_text(json.dumps(shard.asked.as_json()), encoding="utf-8")
            range_ = ["--asked", str(asked), "--start", str(shard.start), "--amount", str(shard.amount)]
            range_ += ["--store", str(self.store.absolute())]
            self._call("render", range_, Path(folder), told)
            gate = [] if self.gate_clips is None else ["--gate-clips", str(self.gate_clips)]
            self._call("read", [*range_, *gate, "--out", str(out)], Path(folder), told)
            return ShardScores.from_json(json.loads(out.read_text(encoding="utf-8")))

    def _call(self, command: str, words: list[str], folder: Path, told: Told) -> None:
        errors = folder / f"{command}.log"
        with (
            errors.open("wb") as log,
            subprocess.Popen(
                [sys.executable, "-m", "model_runtime.evaluation", command, *words],
                env=self._environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            self._running.add(process)
            try:
                assert process.stdout is not None
                _follow(process.stdout, command, told)
                code = process.wait()
            finally:
                # A flow that is cancelled leaves nobody behind.
                _end(process)
                self._running.discard(process)
        if code:
            said = errors.read_text(encoding="utf-8", errors="replace").strip()
            raise _error(command, code, said)

    def _environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The settings in force, wherever they came from, and so many threads that no two wait for one core."""
        other = {key: value for key, value in environ.items() if not key.startswith(PREFIX)}
        threads = max(1, len(os.sched_getaffinity(0)) // self.processes)
        return {"OMP_NUM_THREADS": str(threads)} | other | environment(self.settings)


def _follow(lines: IO[str], command: str, told: Told) -> None:
    for line in lines:
        if line.startswith("{"):
            said = json.loads(line)
            told(command, said["done"], said["total"])


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _error(command: str, code: int, said: str) -> InvalidInput | Permanent:
    if code == InvalidInput.exit_code and "error: " in said:
        message, _, fix = said[said.index("error: ") + len("error: ") :].partition("\n  fix: ")
        return InvalidInput(message, fix=fix)
    last = said.splitlines()[-1] if said else "it said nothing"
    return Permanent(f"the process that should {command} clips ended with exit code {code}: {last}")
