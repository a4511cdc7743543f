"""One moment that a whole exchange ends at, a server's slow drip included."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds, never negative."""
        return max(0.0, self.at - time.monotonic())

    @contextmanager
    def connect(self, addresses: Sequence[str], port: int) -> Iterator[socket.socket]:
        """A connection to the first of `addresses` (literals: nothing is resolved) that answers, cut at the deadline.

        Raises:
            OSError: none answered in time.
        """
        raw = self._connect_first(addresses, port)
        # A socket's own timeout starts anew with every byte. Shutting a duplicate down ends the connection under
        # whoever reads from it, also in the middle of a handshake.
        handle = raw.dup()
        watch = threading.Timer(self.left(), _shut, [handle])
        watch.daemon = True
        watch.start()
        try:
            yield raw
        finally:
            watch.cancel()
            watch.join()
            handle.close()
            raw.close()

    def _connect_first(self, addresses: Sequence[str], port: int) -> socket.socket:
        failure: OSError = TimeoutError("no time left")
        for number, address in enumerate(addresses):
            share = self.left() / (len(addresses) - number)
            if share <= 0:
                break
            try:
                raw = socket.create_connection((address, port), timeout=share)
            except OSError as error:
                failure = error
            else:
                raw.settimeout(max(self.left(), 0.001))
                return raw
        raise failure


def _shut(handle: socket.socket) -> None:
    try:
        handle.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was quicker
