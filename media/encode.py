"""Frames in, one H.264 clip out: an ffmpeg child that is fed through a pipe.

All clips of one size get the same parameters, so that a join can copy their pictures without encoding again. There
are no B-frames: presentation order is coding order, every clip begins at time 0, and joined timestamps stay exact.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import ffmpeg

from media.ffmpeg import GUARDS, FfmpegFailed, failure, ffmpeg_binary, file_url, guarded
from media.files import part_path
from media.process import Inlet, ProcessLimits, captured, kill_group, start, tail, wait
from schemas.errors import InvalidInput

THREADS = 2
"""x264's output depends on its number of threads; one number everywhere keeps it the same everywhere."""

TICKS_PER_FRAME = 512
"""Time base of the picture track: one frame is a whole number of ticks."""

X264 = {
    "c:v": "libx264",
    "preset": "veryfast",
    "crf": 16,
    "bf": 0,
    "g": 50,
    "flags:v": "+cgop+bitexact",
    "pix_fmt": "yuv420p",
    "threads": THREADS,
    "color_primaries": "bt709",
    "color_trc": "bt709",
    "colorspace": "bt709",
    "color_range": "tv",
}

PLAIN_FILE = {"f": "mp4", "fflags": "+bitexact", "map_metadata": -1, "map_chapters": -1}
"""Nothing in the file that the input did not decide: no date, no encoder's name, no tags."""

_LIMITS = ProcessLimits(cpu_s=3600)


class ClipEncoder:
    """Encodes raw frames to `path`, which appears whole when `finish` returns and never before.

    A context manager: leaving it without `finish` kills the child and leaves nothing. `timeout_s` bounds each wait:
    for ffmpeg to take a frame, and for it to end after the last one.
    """

    def __init__(
        self, path: Path, *, width: int, height: int, fps: int, timeout_s: float, pixels: str = "rgb24"
    ) -> None:
        """Start the child. `pixels` is rgb24 or yuv420p (bt709, limited range).

        Raises:
            InvalidInput: a side is not even, or `pixels` is another format.
            InvalidSettings: there is no ffmpeg.
        """
        if width < 2 or height < 2 or width % 2 or height % 2:
            raise InvalidInput(f"cannot encode {width}x{height}: both sides must be even", fix="give an even size")
        if pixels not in _BITS:
            raise InvalidInput(f"pixels is {pixels!r}, expected one of {', '.join(_BITS)}")
        self.frames = 0
        self.frame_bytes = width * height * _BITS[pixels] // 8
        self._path = path
        self._part = part_path(path)
        self._timeout_s = timeout_s
        self._open = ExitStack()
        self._stderr = self._open.enter_context(captured())
        self._process = start(
            [ffmpeg_binary(), *GUARDS, "-loglevel", "error", *_arguments(self._part, width, height, fps, pixels)],
            limits=_LIMITS,
            stderr=self._stderr,
            stdin=subprocess.PIPE,
        )
        self._inlet = Inlet(self._process)

    @property
    def pid(self) -> int:
        """The child's process id, which is also its group's."""
        return self._process.pid

    def write(self, frame: bytes | memoryview) -> None:
        """Hand over the next frame, top row first; blocks while ffmpeg is busy.

        Raises:
            InvalidInput: not exactly one frame's bytes.
            FfmpegFailed: the child died or takes no more; nothing is left of the clip.
        """
        data = memoryview(frame).cast("B")
        if len(data) != self.frame_bytes:
            raise InvalidInput(f"a frame has {len(data)} bytes, expected {self.frame_bytes}")
        try:
            self._inlet.write(data, timeout_s=self._timeout_s)
        except TimeoutError:
            self._fail(f"ffmpeg took no frame for {self._timeout_s:g} s")
        except BrokenPipeError:
            self._fail_ended()
        self.frames += 1

    def finish(self) -> None:
        """Wait until the clip is whole; then it stands at its path.

        Raises:
            FfmpegFailed: the child ended badly or not in time, or no frame was written; nothing is left of the clip.
        """
        self._inlet.close()
        try:
            returncode = wait(self._process, self._timeout_s)
        except subprocess.TimeoutExpired:
            self._fail(f"ffmpeg did not end within {self._timeout_s:g} s after the last frame")
        if not self.frames:
            self._fail("no frame was written")
        if returncode != 0:
            self._fail_ended()
        self._part.replace(self._path)
        self._open.close()

    def abort(self) -> None:
        """Kill the child's whole group and leave nothing. Does nothing after `finish`."""
        kill_group(self._process)
        self._part.unlink(missing_ok=True)
        self._open.close()

    def _fail(self, message: str) -> NoReturn:
        said = tail(self._stderr)
        self.abort()
        raise FfmpegFailed(message, stderr=said, fix="look whether the machine is overloaded")

    def _fail_ended(self) -> NoReturn:
        """The child went away while it was needed."""
        try:
            returncode = wait(self._process, self._timeout_s)
        except subprocess.TimeoutExpired:
            self._fail("ffmpeg closed its input and did not end")
        said = tail(self._stderr)
        self.abort()
        raise failure(returncode, said)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


_BITS = {"rgb24": 24, "yuv420p": 12}
"""Bits per pixel of the formats that `write` takes."""


def _arguments(part: Path, width: int, height: int, fps: int, pixels: str) -> list[str]:
    source = ffmpeg.input(
        "pipe:0", **guarded("rawvideo"), pixel_format=pixels, video_size=(width, height), framerate=fps
    )
    if pixels == "rgb24":
        # Left alone, ffmpeg converts with the matrix of standard definition whatever the tags say.
        source = source.filter(
            "scale", out_color_matrix="bt709", out_range="tv", flags="accurate_rnd+full_chroma_int"
        ).filter("format", "yuv420p")
    tagged = source.filter("setparams", color_primaries="bt709", color_trc="bt709", colorspace="bt709", range="tv")
    output = {**X264, **PLAIN_FILE, "video_track_timescale": fps * TICKS_PER_FRAME}
    arguments: list[str] = ffmpeg.output(tagged, file_url(part), **output).get_args()
    return arguments
