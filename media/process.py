"""Child processes with a bound on everything: time, processor, memory, files; always killed as a whole group."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True, kw_only=True)
class ProcessLimits:
    """What one child may use at most; seconds of processor time, bytes, descriptors."""

    cpu_s: int = 600
    file_bytes: int = 16 * 2**30
    """Largest file it may write."""
    open_files: int = 256
    address_bytes: int = 8 * 2**30


def start(
    argv: Sequence[str], *, limits: ProcessLimits, stderr: IO[bytes], stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, without this process's environment (it may hold secrets).

    The limits are set from outside, right after the start: a hook between fork and exec is not safe in a process
    with threads.
    """
    process = subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
        env=plain_environment(),
        bufsize=0,
    )
    _limit(process.pid, limits)
    return process


def plain_environment() -> dict[str, str]:
    """What a child needs to find its libraries, and nothing else."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "AV_LOG_FORCE_NOCOLOR": "1"}


def _limit(pid: int, limits: ProcessLimits) -> None:
    wanted = {
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_AS: limits.address_bytes,
        resource.RLIMIT_CORE: 0,
    }
    # It may be over already.
    with contextlib.suppress(ProcessLookupError):
        for which, value in wanted.items():
            _, hard = resource.prlimit(pid, which)
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, which, (bound, bound))


class Inlet:
    """What a child reads from its input, written without ever waiting for longer than is allowed."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        self._pipe = process.stdin
        os.set_blocking(self._pipe.fileno(), False)
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLOUT)

    def write(self, data: bytes | memoryview, *, timeout_s: float) -> None:
        """Hand all of it over; blocks while the child is busy.

        Raises:
            TimeoutError: the child took nothing for too long.
            BrokenPipeError: the child reads no more.
        """
        rest = memoryview(data).cast("B")
        deadline = time.monotonic() + timeout_s
        while rest:
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(self._pipe.fileno(), rest) :]

    def close(self) -> None:
        """Say that this was all."""
        self._pipe.close()


def wait(process: subprocess.Popen[bytes], timeout_s: float) -> int:
    """As `Popen.wait`, but told of the child's end where that one looks again every 50 ms.

    Raises:
        subprocess.TimeoutExpired: it has not ended; it lives on.
    """
    if process.returncode is None and sys.platform == "linux":
        # An old kernel, or a sandbox, may not have it.
        with contextlib.suppress(OSError), _ended(process.pid) as ended:
            ended.poll(max(0.0, timeout_s) * 1000)
            timeout_s = 0.0
    return process.wait(timeout_s)


@contextmanager
def _ended(pid: int) -> Iterator[select.poll]:
    """Something that can be polled for the end of a child which nobody has collected yet."""
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        yield poll
    finally:
        os.close(descriptor)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the child and whatever it started, and collect it. Does nothing to a child already collected."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            # Closing flushes what nobody reads any more.
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    process.wait()


@contextmanager
def captured() -> Iterator[IO[bytes]]:
    """A file without a name for what a child says: nobody has to read along, and `tail` tells how it ended."""
    with tempfile.TemporaryFile() as stream:
        yield stream


def tail(stream: IO[bytes], *, size: int = 4000) -> str:
    """The last bytes of what a child wrote, as text."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, end - size))
    return stream.read(size).decode("utf-8", "replace").strip()
