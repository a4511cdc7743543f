"""Processes that a verb has started."""

from __future__ import annotations

import os
import signal
import subprocess


def end(process: subprocess.Popen[bytes], grace_s: float, how: signal.Signals = signal.SIGTERM) -> None:
    """The signal, the grace period, then SIGKILL to the process and its group."""
    if process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(timeout=grace_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
