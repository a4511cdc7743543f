"""Frames and sound to a sample's files, and back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from media.encode import ClipEncoder
from media.probe import UnreadableVideo, open_video, pictures
from model_runtime.dataset.seams import Film, Pixels, Vector
from model_runtime.dataset.shard import DamagedShard, Sample
from schemas.model_spec import FPS, SPEECH_RATE

PER_FRAME = SPEECH_RATE // FPS
_PATIENCE_S = 120.0


def encode_film(frames: Iterable[Pixels], *, width: int, height: int, scratch: Path) -> bytes:
    """An mp4 without sound, by the product's own encoder: equal frames give equal bytes.

    Raises:
        Retryable: ffmpeg ended badly.
    """
    path = scratch / "film.mp4"
    with ClipEncoder(path, width=width, height=height, fps=FPS, timeout_s=_PATIENCE_S) as encoder:
        for frame in frames:
            encoder.write(frame.tobytes())
        encoder.finish()
    data = path.read_bytes()
    path.unlink()
    return data


def decode_film(data: bytes, scratch: Path) -> Pixels:
    """uint8 [frames, h, w, 3] of an mp4 that this project encoded.

    Raises:
        DamagedShard: it does not decode.
    """
    path = scratch / "decode.mp4"
    path.write_bytes(data)
    try:
        with open_video(path) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in pictures(container)])
    except (UnreadableVideo, ValueError) as error:
        raise DamagedShard(
            f"a shard holds a film that does not decode: {error}", fix="build the dataset again"
        ) from error
    finally:
        path.unlink(missing_ok=True)


def encode_sound(samples: Vector) -> bytes:
    """16-bit FLAC, mono, 16 kHz."""
    out = io.BytesIO()
    scaled = np.clip(np.rint(samples.astype(np.float64) * 32768), -32768, 32767).astype(np.int16)
    soundfile.write(out, scaled, SPEECH_RATE, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def decode_sound(data: bytes) -> Vector:
    """float32 [samples], full scale at 1."""
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return np.asarray(samples, np.float32)


def encode_picture(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def decode_picture(data: bytes) -> Pixels:
    """uint8 [h, w, 3]."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))


def encode_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An .npz; equal arrays give equal bytes (its members carry no times)."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def decode_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def film_of(sample: Sample, scratch: Path, *, frames: bool = True) -> Film:
    """A clip's sample as adapters see it; without `frames` none is decoded, and there are none."""
    height_width = tuple(sample.facts[name] for name in ("height", "width"))
    return Film(
        frames=decode_film(sample.files["mp4"], scratch) if frames else np.zeros((0, *height_width, 3), np.uint8),
        sound=decode_sound(sample.files["flac"]) if "flac" in sample.files else None,
        truth=truth_of(sample),
    )


def truth_of(sample: Sample) -> dict[str, Any] | None:
    """What the procedural world knows of a sample: its facts and arrays; None on films."""
    if "truth.npz" not in sample.files:
        return None
    return {**sample.facts["truth"], **decode_arrays(sample.files["truth.npz"])}
