"""Which worker of a parallel run plays which file, and in which order."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

TOGETHER = ("tests/storage/objects",)
"""Folders whose files share a server that takes long to start: one worker plays them all."""

FIRST = (
    "tests/flows/prefect",
    "tests/storage/objects",
    "tests/chaos",
    "tests/simulation/test_schedules.py",
    "tests/hostile",
    "tests/flows",
    "tests/model_runtime",
)
"""What takes longest begins first, or the run would end with one worker playing it while the others rest."""


class Schedule(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no types for it
    """File by file, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return next((folder for folder in TOGETHER if _is_in(file, folder)), file)


def put_first(items: list[pytest.Item]) -> None:
    """Reorder collected tests by FIRST; the order inside a file stays."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    file = item.nodeid.split("::", 1)[0]
    return next((turn for turn, place in enumerate(FIRST) if _is_in(file, place)), len(FIRST))


def _is_in(file: str, place: str) -> bool:
    return file == place or PurePosixPath(file).is_relative_to(place)


def make_schedule(config: pytest.Config, log: Any) -> Schedule:
    config.option.loadscopereorder = False
    return Schedule(config, log)
