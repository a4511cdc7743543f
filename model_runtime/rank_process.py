"""One rank as the supervisor holds it: its process, its pipes, and when it last gave a sign of life."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

from model_runtime.messages import FromRank, ToRank, encode, from_rank

_PIPE_BYTES = 1 << 20
"""The largest pipe an unprivileged process may have; fewer turns per frame."""


class RankProcess:
    """`python -m model_runtime rank` in a session of its own, so that what it starts dies with it."""

    def __init__(self, flags: Mapping[str, object], *, number: int, environment: Mapping[str, str]) -> None:
        self.number = number
        self.seen_at = time.monotonic()
        self.control_ended = False
        self._rest = b""
        self.frame_fd, frame_out = os.pipe()
        with contextlib.suppress(OSError):  # fewer bytes are slower, not wrong
            fcntl.fcntl(self.frame_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self.frame_fd, False)
        every = {**flags, "parent": os.getpid(), "frame-fd": frame_out if number == 0 else -1}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "model_runtime", "rank", *(f"--{key}={every[key]}" for key in every)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[frame_out] if number == 0 else [],
                env=dict(environment),
                start_new_session=True,
                bufsize=0,
            )
        finally:
            os.close(frame_out)
        assert self._process.stdout is not None
        self.control_fd = self._process.stdout.fileno()
        os.set_blocking(self.control_fd, False)
        self.pid_fd = os.pidfd_open(self._process.pid)

    def __str__(self) -> str:
        return f"rank {self.number}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: ToRank) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died; its pid_fd says so
            self._process.stdin.write(encode(message))

    def receive(self) -> Iterator[FromRank]:
        """The whole messages that have come so far."""
        while not self.control_ended:
            try:
                data = os.read(self.control_fd, 65536)
            except BlockingIOError:
                return
            self.control_ended = not data
            self.seen_at = time.monotonic()
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                yield from_rank(line)

    def how_it_died(self) -> str:
        """Looks without reaping: while the process is a zombie its group's number cannot go to a stranger."""
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return "is alive"
        if found.si_code == os.CLD_EXITED:
            return f"ended with exit code {found.si_status}"
        return f"was killed by {signal.Signals(found.si_status).name}"

    def close_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait(self, timeout_s: float) -> None:
        """Wait for its end at most so long, without reaping it."""
        deadline = time.monotonic() + max(0.0, timeout_s)
        while self._process.returncode is None and self.how_it_died() == "is alive":
            if time.monotonic() >= deadline:
                return
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL to the whole session's group, even when its leader is dead already. Idempotent."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        os.close(self.frame_fd)
        os.close(self.pid_fd)
