"""Which adapters there are, by name. An adapter is made when it is asked for, and says then what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from model_runtime.dataset.seams import Team
from schemas.dataset import DatasetOrder
from schemas.errors import InvalidInput

Factory = Callable[[DatasetOrder], Any]


def _exact(name: str) -> Factory:
    return lambda _: getattr(import_module("model_runtime.dataset.exact"), name)()


def _field(module: str, name: str) -> Factory:
    def make(order: DatasetOrder) -> Any:
        # Only now: a module of the field's may bring torch.
        return getattr(import_module(f"model_runtime.dataset.{module}"), name)(order)

    return make


ADAPTERS: dict[str, dict[str, Factory]] = {
    "captioner": {
        "world": _exact("WorldCaptioner"),
        "sidecar": _field("plain", "SidecarCaptioner"),
        "qwen2.5-vl": _field("qwen", "QwenCaptioner"),
    },
    "detector": {"world": _exact("WorldDetector"), "scrfd": _field("arcface", "ScrfdDetector")},
    "embedder": {"world": _exact("WorldEmbedder"), "arcface": _field("arcface", "ArcFaceEmbedder")},
    "scorer": {"world": _exact("WorldScorer"), "syncnet": _field("syncnet", "SyncNetScorer")},
    "enhancer": {
        "world": _exact("WorldEnhancer"),
        "none": _field("plain", "NoEnhancer"),
        "kim-vocal-2": _field("vocals", "VocalsEnhancer"),
    },
}
"""By seam and name. A new adapter is one line here; docs/dataset.md says what it needs and under which licence."""


def team_of(order: DatasetOrder) -> Team:
    """One adapter for each seam; loads no weights yet.

    Raises:
        InvalidInput: naming every adapter that there is not, and every package and file that one lacks.
    """
    found, faults = {}, []
    for seam, name in order.adapters.model_dump().items():
        try:
            found[seam] = _adapter(seam, name, order)
        except InvalidInput as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise InvalidInput(
            "these adapters cannot be used:\n  " + "\n  ".join(fault.message for fault in faults),
            fix="\n  ".join(dict.fromkeys(fault.fix for fault in faults)),
        )
    return Team(**found)


def _adapter(seam: str, name: str, order: DatasetOrder) -> Any:
    factory = ADAPTERS[seam].get(name)
    if factory is None:
        raise InvalidInput(
            f"there is no {seam} named {name!r}", fix=f"choose one of {', '.join(sorted(ADAPTERS[seam]))}"
        )
    return factory(order)
