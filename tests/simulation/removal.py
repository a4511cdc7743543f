"""Taking a defence away: in a copy of the code, in a process of its own, never in what ships."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.defences import Defence

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 100
"""Whoever is not noticed within so many schedules is not missed."""

_COPIED = ("schemas", "storage", "media", "model_runtime", "flows", "k8s", "tests")


@dataclass(frozen=True, kw_only=True)
class Noticed:
    """The first schedule that broke a promise."""

    seed: int
    promise: str
    what: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.promise}: {self.what}"


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The test that failed."""

    test: str

    def __str__(self) -> str:
        return f"test {self.test}"


class CutDoesNotApply(Exception):
    """The code has changed: the list of defences must be brought up to it."""


def cut_all_out(defence: Defence, root: Path) -> dict[str, str]:
    """What is left of each file below `root` when a defence is cut out.

    Raises:
        CutDoesNotApply: a piece is not there exactly once, or what is left is no Python.
    """
    left: dict[str, str] = {}
    for cut in defence.cuts:
        text = left.get(cut.file) or (root / cut.file).read_text(encoding="utf-8")
        found = text.count(cut.there)
        if found != 1:
            raise CutDoesNotApply(f"{defence.name}: {cut.file} has {found} times, expected once: {cut.there!r}")
        left[cut.file] = text.replace(cut.there, cut.instead)
    for file, text in left.items():
        try:
            compile(text, file, "exec")
        except SyntaxError as error:
            raise CutDoesNotApply(f"{defence.name}: without it {file} is no Python: {error}") from error
    return left


@contextmanager
def copy_of_the_code(source: Path = ROOT) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="callsheet-removal-") as folder:
        root = Path(folder)
        for name in _COPIED:
            # With what is compiled already: it is valid as long as the times are kept.
            shutil.copytree(source / name, root / name, ignore=shutil.ignore_patterns("data"))
        shutil.copy2(source / "pyproject.toml", root)
        yield root


def play_without(defence: Defence, *, source: Path = ROOT, first: int = 0, seeds: int = SEEDS) -> Noticed | None:
    """Play schedules without the defence until one breaks a promise; None when none does.

    Raises:
        CutDoesNotApply: as `cut_all_out`.
        RuntimeError: the process ended in another way.
    """
    with copy_of_the_code(source) as root:
        _cut(defence, root)
        schedules = ["--first", str(first), "--seeds", str(seeds), "--json"]
        return _read(defence, _run(root, "tests.simulation", *schedules), root)


def fail_without(defence: Defence, *, source: Path = ROOT) -> Failed | None:
    """Run the defence's own test without it; None when the test passes all the same.

    Raises:
        CutDoesNotApply: as `cut_all_out`.
        RuntimeError: the test passes or fails with the defence as well, or did not run.
    """
    # The ledger in memory has no SQL to cut, and PostgreSQL takes longer to say the same.
    chosen = ("-q", "-p", "no:cacheprovider", "-n", "0", "-k", "not memory and not postgresql", defence.test)
    with copy_of_the_code(source) as root:
        whole = _run(root, "pytest", *chosen)
        _cut(defence, root)
        ended = _run(root, "pytest", *chosen)
    if whole.returncode != 0 or ended.returncode not in (0, 1):
        raise RuntimeError(f"{defence.name}: {defence.test} did not run\n{whole.stdout[-2000:]}{ended.stdout[-2000:]}")
    return Failed(test=defence.test.rpartition("::")[2]) if ended.returncode else None


def _cut(defence: Defence, root: Path) -> None:
    for file, left in cut_all_out(defence, root).items():
        (root / file).write_text(left, encoding="utf-8")


def _run(root: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def _read(defence: Defence, ended: subprocess.CompletedProcess[str], root: Path) -> Noticed | None:
    try:
        said = json.loads(ended.stdout)
    except ValueError:
        raise RuntimeError(f"without {defence.name}: exit code {ended.returncode}\n{ended.stderr[-3000:]}") from None
    if not said["code"].startswith(str(root)):
        raise RuntimeError(f"the schedules ran against {said['code']}, not against the copy")
    return Noticed(**said["noticed"]) if said["noticed"] else None
