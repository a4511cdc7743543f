"""Child processes with a bound on everything: time, processor, memory, files; always killed as a whole group."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
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
