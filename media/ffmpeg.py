"""Running ffmpeg: which one, with which guards, and what it says when it fails.

ffmpeg only ever reads and writes files of ours; strangers' files are decoded in `media.sandbox`. All the same,
every input names its demuxer, and no protocol but files and pipes is open: an ffconcat script that calls itself
.mp3 is not a playlist here, and no address is ever fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from media.process import Inlet, ProcessLimits, captured, kill_group, start, tail, wait
from schemas.errors import InvalidSettings, Retryable

VARIABLE = "CALLSHEET_FFMPEG"
"""Path or name of the ffmpeg to use."""

GUARDS = ("-nostdin", "-hide_banner", "-xerror", "-y")


class FfmpegFailed(Retryable):
    """ffmpeg ended badly or not in time; `stderr` holds the end of what it said."""

    def __init__(self, message: str, *, stderr: str = "", fix: str = "") -> None:
        super().__init__(f"{message}: {stderr}" if stderr else message, fix=fix)
        self.stderr = stderr


def ffmpeg_binary() -> str:
    """`CALLSHEET_FFMPEG`, else `ffmpeg` on the PATH, else the one that imageio-ffmpeg brings.

    Raises:
        InvalidSettings: the variable names no program, or there is none at all.
    """
    named = os.environ.get(VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise InvalidSettings(f"{VARIABLE} is {named!r}, which is no program", fix=f"correct or unset {VARIABLE}")
        return found
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise InvalidSettings(
            f"no ffmpeg was found: {error}", fix=f"install ffmpeg, or imageio-ffmpeg, or set {VARIABLE}"
        ) from error


def ffmpeg_version(*, timeout_s: float = 20) -> str:
    """The first line of `ffmpeg -version`.

    Raises:
        InvalidSettings: there is no ffmpeg, or it does not run.
    """
    binary = ffmpeg_binary()
    try:
        answer = subprocess.run([binary, "-version"], capture_output=True, timeout=timeout_s, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise InvalidSettings(f"{binary} does not run: {error}", fix=f"correct or unset {VARIABLE}") from error
    return answer.stdout.decode("utf-8", "replace").partition("\n")[0]


def file_url(path: Path) -> str:
    """The path as ffmpeg must see it: `file:` stops `concat:a|b`, `http:` and a leading dash from meaning more."""
    return f"file:{path}"


def guarded(demuxer: str, *inner: str) -> dict[str, str]:
    """Options of one input that may be read by `demuxer` only, and the files that it names by `inner` only."""
    return {
        "f": demuxer,
        "format_whitelist": ",".join((demuxer, *inner)),
        "protocol_whitelist": "file,pipe",
    }


def run_ffmpeg(
    args: Sequence[str],
    *,
    timeout_s: float,
    limits: ProcessLimits | None = None,
    loglevel: str = "error",
    feed: Iterable[bytes] | None = None,
) -> str:
    """Run ffmpeg to its end and return the end of what it said; `feed` is what it reads from `pipe:0`.

    Raises:
        FfmpegFailed: it ended badly, was killed, did not read all of `feed`, or took longer than `timeout_s`; its
            whole group is gone then.
        InvalidSettings: there is no ffmpeg.
    """
    limits = limits or ProcessLimits()
    deadline = time.monotonic() + timeout_s
    with captured() as stderr:
        process = start(
            [ffmpeg_binary(), *GUARDS, "-loglevel", loglevel, *args],
            limits=limits,
            stderr=stderr,
            stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
        )
        try:
            has_read_all = feed is None or _feed(process, feed, deadline)
            wait(process, deadline - time.monotonic())
        except (subprocess.TimeoutExpired, TimeoutError):
            raise FfmpegFailed(
                f"ffmpeg did not end within {timeout_s:g} s", fix="look whether the machine is overloaded"
            ) from None
        finally:
            kill_group(process)
        if process.returncode != 0:
            raise failure(process.returncode, tail(stderr))
        if not has_read_all:
            raise FfmpegFailed("ffmpeg ended before it had read everything", stderr=tail(stderr))
        return tail(stderr)


def _feed(process: subprocess.Popen[bytes], feed: Iterable[bytes], deadline: float) -> bool:
    """Whether the child read everything. Raises TimeoutError."""
    inlet = Inlet(process)
    try:
        for portion in feed:
            inlet.write(portion, timeout_s=deadline - time.monotonic())
    except BrokenPipeError:
        return False  # it says why when it has ended
    inlet.close()
    return True


def failure(returncode: int, stderr: str) -> FfmpegFailed:
    """What a bad end means, in words."""
    how = f"was killed by signal {-returncode}" if returncode < 0 else f"ended with {returncode}"
    return FfmpegFailed(f"ffmpeg {how}", stderr=stderr, fix="look at ffmpeg's own words and at the free disk space")
