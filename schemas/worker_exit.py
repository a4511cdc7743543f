"""What the end of a worker process says to whoever started it."""

from __future__ import annotations

from enum import IntEnum


class WorkerExit(IntEnum):
    """Exit codes of `python -m model_runtime worker` (docs/worker.md)."""

    DRAINED = 0
    """Nothing of its work is unfinished."""
    SICK = 70
    """The device or the node is not fit: start one elsewhere."""
    PREEMPTED = 75
    """Told to go; unfinished work was given back: start it again."""
    BAD_CONFIGURATION = 78
    """Settings, names, weights or packages are wrong: starting it again cannot help."""
