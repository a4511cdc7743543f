"""Checkpoints: whole or not there, checked when they are read, and the one before is kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

_NAME = re.compile(r"step-(\d{8})")
_WEIGHTS, _AVERAGE, _OPTIMISER = "weights.safetensors", "average.safetensors", "optimiser.safetensors"
_STATE = "state.json"
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that the next step depends on."""

    step: int
    """Finished steps."""
    weights: dict[str, Tensor]
    """What is trained."""
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    state: dict[str, Any]
    """Settings and counters, as JSON has them."""


class Checkpoints:
    """A folder of them; `keep` of the latest stay."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self._folder = folder
        self._keep = keep
        self.damaged: list[str] = []
        """What `latest` passed over, and why."""

    def steps(self) -> list[int]:
        """Those there are, whole or damaged, oldest first."""
        found = (_NAME.fullmatch(path.name) for path in self._folder.glob("step-*"))
        return sorted(int(match[1]) for match in found if match)

    def path(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}"

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write it beside its place and rename it: a run that dies here leaves the one before."""
        place = self.path(checkpoint.step)
        work = place.with_name(f".{place.name}")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        save_file(_plain(checkpoint.weights), work / _WEIGHTS)
        save_file(_plain(checkpoint.average), work / _AVERAGE)
        moments, plan = _apart(checkpoint.optimiser)
        save_file(_plain(moments), work / _OPTIMISER)
        digests = {name: _digest(work / name) for name in (_WEIGHTS, _AVERAGE, _OPTIMISER)}
        document = {"step": checkpoint.step, "state": checkpoint.state, "optimiser": plan, "sha256": digests}
        (work / _STATE).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        for path in work.iterdir():
            _sync(path)
        # A damaged one of this step may be in the way: a run that resumed before it comes by here again.
        shutil.rmtree(place, ignore_errors=True)
        work.rename(place)
        _sync(self._folder)
        for step in self.steps()[: -self._keep]:
            shutil.rmtree(self.path(step))
        return place

    def latest(self) -> Checkpoint | None:
        """The latest whole one; `damaged` says what was passed over."""
        for step in reversed(self.steps()):
            try:
                return self._read(self.path(step))
            except (OSError, ValueError, KeyError) as error:
                self.damaged.append(f"{self.path(step)}: {error}")
        return None

    def _read(self, place: Path) -> Checkpoint:
        document = json.loads((place / _STATE).read_text(encoding="utf-8"))
        for name, digest in document["sha256"].items():
            if _digest(place / name) != digest:
                raise ValueError(f"{name} is not what was written")
        return Checkpoint(
            step=document["step"],
            weights=load_file(place / _WEIGHTS),
            average=load_file(place / _AVERAGE),
            optimiser=_together(load_file(place / _OPTIMISER), document["optimiser"]),
            state=document["state"],
        )


def _apart(optimiser: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors and as JSON: nothing here is ever pickled."""
    tensors: dict[str, Tensor] = {}
    plan: dict[str, dict[str, Any]] = {}
    for number, values in optimiser["state"].items():
        plan[str(number)] = {name: value for name, value in values.items() if not isinstance(value, Tensor)}
        tensors |= {f"{number}.{name}": value for name, value in values.items() if isinstance(value, Tensor)}
    return tensors, {"state": plan, "param_groups": optimiser["param_groups"]}


def _together(tensors: Mapping[str, Tensor], plan: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in plan["state"].items()}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state[int(number)][name] = value
    return {"state": state, "param_groups": plan["param_groups"]}


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _digest(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            state.update(piece)
    return state.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
