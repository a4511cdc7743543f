"""Pictures, sounds and clips made on the spot, good ones and hostile ones, and a server that counts who calls."""

from __future__ import annotations

import io
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from media.encode import ClipEncoder

Mono = NDArray[np.float32]


@pytest.fixture(params=["system", "imageio"])
def each_ffmpeg(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ffmpegs in turn: the machine's own, where it has one, and the wheel's."""
    binary = shutil.which("ffmpeg") if request.param == "system" else imageio_ffmpeg.get_ffmpeg_exe()
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have Debian's ffmpeg")
        pytest.skip("no ffmpeg on the PATH")
    monkeypatch.setenv("CALLSHEET_FFMPEG", binary)
    return binary


class HitCounter:
    """A local HTTP server; `hits` says how many requests reached it."""

    def __init__(self) -> None:
        self.hits = 0
        counter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                counter.hits += 1
                self.send_response(404)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hit_counter() -> Iterator[HitCounter]:
    """A server that nobody is expected to call."""
    counter = HitCounter()
    yield counter
    counter.close()


def noise(seconds: float, rate: int = 16_000, *, level: float = 0.2, seed: int = 0) -> Mono:
    """White noise: two stretches of it resemble each other only at lag 0."""
    samples = np.random.default_rng(seed).normal(0, level, round(seconds * rate))
    return np.clip(samples, -1, 1).astype(np.float32)


def write_sound(path: Path, samples: NDArray[np.float32], rate: int, *, codec: str = "", kind: str = "") -> Path:
    """[samples] or [samples, channels] as WAV (16 bit), FLAC or OGG by suffix, or through libav with `codec`."""
    if not codec:
        soundfile.write(path, samples, rate)
        return path
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with av.open(str(path), "w", format=kind or None) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = {1: "mono", 2: "stereo"}[channels]
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.reshape(1, -1)), format="flt", layout=stream.layout.name
        )
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


def wav_bytes(
    samples: int, *, rate: int = 16_000, channels: int = 1, claimed: int | None = None, tag: int = 1
) -> bytes:
    """A 16-bit WAV with `samples` samples whose header says `claimed`."""
    data = (noise(1, max(1, samples * channels))[: samples * channels] * 30000).astype("<i2").tobytes()
    size = len(data) if claimed is None else claimed * 2 * channels
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * 2 * channels & 0xFFFFFFFF, 2 * channels, 16)
    chunks = b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", size & 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", 36 + size & 0xFFFFFFFF) + b"WAVE" + chunks + data


def photo(width: int = 120, height: int = 90, *, seed: int = 0) -> Image.Image:
    """Soft random colours."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def image_bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file of that format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_bomb(width: int, height: int) -> bytes:
    """A small PNG that decodes to 3 x width x height bytes of black."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = bytes(1 + 3 * width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


Painter = Callable[[int], NDArray[np.uint8]]
"""Frame number to [height, width, 3]."""


def paint_moving(width: int = 64, height: int = 64, *, start: int = 0) -> Painter:
    """A bright square that wanders over a dark ground."""

    def paint(number: int) -> NDArray[np.uint8]:
        frame = np.full((height, width, 3), 60, np.uint8)
        left = (number + start) % (width - 16)
        frame[height // 4 : height // 2, left : left + 16] = (230, 180, 120)
        return frame

    return paint


def paint_flat(value: int, width: int = 64, height: int = 64) -> Painter:
    """One colour for ever."""
    return lambda _: np.full((height, width, 3), value, np.uint8)


def write_clip(path: Path, frames: int, paint: Painter | None = None, *, fps: int = 25) -> Path:
    """An encoded clip of so many painted frames."""
    paint = paint or paint_moving()
    height, width, _ = paint(0).shape
    with ClipEncoder(path, width=width, height=height, fps=fps, timeout_s=60) as encoder:
        for number in range(frames):
            encoder.write(np.ascontiguousarray(paint(number)).data)
        encoder.finish()
    return path


def decode_lumas(path: Path) -> NDArray[np.float64]:
    """Mean luma of every frame."""
    with av.open(str(path)) as container:
        return np.array([frame.to_ndarray(format="gray").mean() for frame in container.decode(video=0)])


def decode_sound(path: Path) -> NDArray[np.float32]:
    """All samples as [samples, channels]."""
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().T for frame in container.decode(audio=0)])


def best_lag(heard: NDArray[np.floating], original: NDArray[np.floating], reach: int) -> int:
    """By how many samples `heard` is late: where the correlation is largest within `reach`."""
    length = min(len(heard), len(original)) - 2 * reach
    middle = original[reach : reach + length]
    scores = [float(np.dot(heard[reach + lag : reach + lag + length], middle)) for lag in range(-reach, reach + 1)]
    return int(np.argmax(scores)) - reach
