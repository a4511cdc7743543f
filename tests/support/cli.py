"""The real command line as a process, and sheets for it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[2]
NO_PREFECT = "http://127.0.0.1:9/api"
"""Nothing listens on the discard port: runs go on without Prefect, which is quick."""


@dataclass(frozen=True, kw_only=True)
class Cli:
    """`callsheet` in a folder of its own."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    prefect: str = NO_PREFECT

    def command(self, *words: object) -> list[str]:
        return [sys.executable, "-m", "flows.cli", *map(str, words)]

    @property
    def full_environ(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("CALLSHEET_", "PREFECT_"))}
        mine = {"CALLSHEET_HOME": str(self.folder / "home"), "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        prefect = {"CALLSHEET_PREFECT_API_URL": self.prefect} if self.prefect else {}
        return clean | mine | prefect | dict(self.environ)

    def __call__(self, *words: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.full_environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.full_environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Its own group, as a terminal gives it: an interrupt then reaches what a Ctrl-C would.
            start_new_session=True,
        )

    def json(self, *words: object, code: int = 0) -> Any:
        done = self(*words, "--json")
        assert done.returncode == code, done.stderr[-3000:]
        return json.loads(done.stdout)


def interrupt(process: subprocess.Popen[str]) -> None:
    """What Ctrl-C does: SIGINT to the whole foreground group."""
    os.killpg(process.pid, signal.SIGINT)


def write_sheet(folder: Path, rows: Sequence[Mapping[str, str]], name: str = "sheet.csv") -> Path:
    """A manifest of these cells; columns in order of first appearance."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def silent_rows(
    count: int, *, duration: float = 0.4, size: int = 256, prompt: str = "a person waits"
) -> list[dict[str, str]]:
    """Rows without speech, one picture for all: cheap videos of `duration` seconds."""
    return [
        {
            "row_id": f"r{n:04d}",
            "prompt": f"{prompt} {n}",
            "image": "face.png",
            "duration": str(duration),
            "width": str(size),
            "height": str(size),
        }
        for n in range(count)
    ]


def write_picture(folder: Path, name: str = "face.png", size: int = 96) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    Image.linear_gradient("L").resize((size, size)).convert("RGB").save(path)
    return path
