"""A program on a terminal: what somebody who sits there sees."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping
from pathlib import Path

PATIENCE_S = 240
"""For a machine that is busy with much else."""


class Terminal:
    """What a program writes to a terminal 160 columns wide, while it runs."""

    def __init__(self, argv: list[str], *, cwd: Path, environ: Mapping[str, str] | None = None) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self.process = subprocess.Popen(
            argv, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""
        # A terminal that nobody reads holds up whoever writes to it.
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, pattern: str) -> None:
        """Until that has been shown.

        Raises:
            AssertionError: it was not, in time or before the program ended; the message is what was.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.shown):
            assert time.monotonic() < deadline, self.shown
            assert self._reader.is_alive(), self.shown
            time.sleep(0.02)

    def end(self) -> int:
        """The program's exit code, when it has ended by itself; one that does not is killed."""
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self._reader.join(PATIENCE_S)
            os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._ours, 1 << 16)
            except OSError:
                # Linux says so where the last one at the other end has gone.
                return
            if not read:
                return
            self.shown += read.decode(errors="replace")
