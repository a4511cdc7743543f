"""The machine in a few plain facts: a figure without them means little."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from media.ffmpeg import ffmpeg_version


def describe() -> dict[str, Any]:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "ffmpeg": ffmpeg_version().partition(" Copyright")[0],
    }


def load() -> float:
    """Processes that ran or wanted to run, averaged over the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
