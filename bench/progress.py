"""What is under way, for whoever waits: the whole run takes a quarter of an hour."""

from __future__ import annotations

import sys
import time

_BEGAN = time.monotonic()


def say(what: str) -> None:
    """One line to stderr: figures alone go to stdout."""
    print(f"{time.monotonic() - _BEGAN:7.1f} s  {what}", file=sys.stderr, flush=True)
