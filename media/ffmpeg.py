"""Running ffmpeg: which one, with which guards, and what it says when it fails.

ffmpeg only ever reads and writes files of ours; strangers' files are decoded in `media.sandbox`. All the same,
every input names its demuxer, and no protocol but files and pipes is open: an ffconcat script that calls itself
.mp3 is not a playlist here, and no address is ever fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from media.process import ProcessLimits, captured, kill_group, start, tail
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
    args: Sequence[str], *, timeout_s: float, limits: ProcessLimits | None = None, loglevel: str = "error"
) -> str:
    """Run ffmpeg to its end and return the end of what it said.

    Raises:
        FfmpegFailed: it ended badly, was killed, or took longer than `timeout_s`; its whole group is gone then.
        InvalidSettings: there is no ffmpeg.
    """
    limits = limits or ProcessLimits()
    with captured() as stderr:
        process = start([ffmpeg_binary(), *GUARDS, "-loglevel", loglevel, *args], limits=limits, stderr=stderr)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise FfmpegFailed(
                f"ffmpeg did not end within {timeout_s:g} s", fix="look whether the machine is overloaded"
            ) from None
        finally:
            kill_group(process)
        if process.returncode != 0:
            raise failure(process.returncode, tail(stderr))
        return tail(stderr)


def failure(returncode: int, stderr: str) -> FfmpegFailed:
    """What a bad end means, in words."""
    how = f"was killed by signal {-returncode}" if returncode < 0 else f"ended with {returncode}"
    return FfmpegFailed(f"ffmpeg {how}", stderr=stderr, fix="look at ffmpeg's own words and at the free disk space")
