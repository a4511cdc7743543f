"""Scenes that mostly wait, played at the same time so that the wait is paid once; each test looks at one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.chaos_arena import Arena, Running, audited
from tests.support.chaos_audit import Finding
from tests.support.chaos_plan import Chronicle


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What came of one."""

    chronicle: Chronicle
    found: Finding

    @property
    def troubles(self) -> list[str]:
        """Promises that were broken, videos not published, processes that died, cards that never fired."""
        unpublished = {state: n for state, n in self.found.videos.items() if state != "published"}
        deaths = [f"{life.slot} died of signal {-life.status}" for life in self.chronicle.lives if life.status == -9]
        left = self.chronicle.left
        return [
            *self.found.violations,
            *deaths,
            *([f"unpublished: {unpublished}; attempts: {dict(self.found.endings)}"] if unpublished else []),
            *([f"{left} cards never fired"] if left else []),
        ]


def story(running: Running) -> Chronicle:
    """Wait for the end; nothing is left running, whatever happens."""
    try:
        return running.wait()
    finally:
        running.stop()


def scene(arena: Arena, chronicle: Chronicle) -> Scene:
    return Scene(chronicle=chronicle, found=audited(arena, chronicle))


Play = Callable[[Path], Scene]


@contextmanager
def played(folder: Path, plays: Mapping[str, Play]) -> Iterator[Callable[[str], Scene]]:
    """Begin all of them, each in a folder of its own; give one by name when it is over."""
    with ThreadPoolExecutor(len(plays)) as stage:
        futures = {name: stage.submit(play, folder / name) for name, play in plays.items()}
        yield lambda name: futures[name].result()
