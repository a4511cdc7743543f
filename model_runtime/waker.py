"""A pipe that ends a wait early: threads and signal handlers write, the main loop selects."""

from __future__ import annotations

import contextlib
import os
import select


class Waker:
    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    @property
    def read_fd(self) -> int:
        return self._read

    @property
    def write_fd(self) -> int:
        """For `signal.set_wakeup_fd`."""
        return self._write

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well as one more byte
            os.write(self._write, b"\0")

    def wait(self, seconds: float) -> None:
        """Until somebody wakes us, at most so long."""
        select.select([self._read], [], [], seconds)
        self.drain()

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)
