"""Reading a stranger's picture: PNG, JPEG or WebP, one frame, decoded to its last pixel."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from media.files import open_regular
from media.picture_layout import check_jpeg_layout, check_png_layout
from schemas.errors import InvalidMedia
from schemas.problem import Code
from schemas.settings import Limits

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what undoes it (Exif 2.3, table 6)."""
_SIDEWAYS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """What a checked picture is; `width` and `height` in pixels as it is seen, EXIF orientation applied."""

    media_type: str
    width: int
    height: int


def picture_format(head: bytes) -> str | None:
    """Pillow's name of the format that the first 12 bytes announce, or None for anything but PNG, JPEG, WebP."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return None


def check_picture(path: Path, limits: Limits) -> PictureFacts:
    """Decode a picture fully and say what it is.

    Raises:
        InvalidMedia: IMAGE_TYPE, IMAGE_CORRUPT, IMAGE_TOO_SMALL, IMAGE_TOO_LARGE or IMAGE_ANIMATED; or a
            REFERENCE_* code when it is no regular file of allowed size.
    """
    with _opened(path, limits) as (image, name):
        # Before anything else is asked: asking for the orientation decodes, too, and would swallow what goes wrong.
        image.load()
        width, height = image.size
        if _orientation(image) in _SIDEWAYS:
            width, height = height, width
        return PictureFacts(media_type=f"image/{name.lower()}", width=width, height=height)


def load_picture(path: Path, limits: Limits | None = None) -> Image.Image:
    """The picture as RGB, 8 bits: turned as EXIF says, transparency over white, 16 bits scaled down.

    Raises:
        InvalidMedia: as `check_picture`.
    """
    with _opened(path, limits or Limits()) as (image, _):
        image.load()
        turn = _TURNS.get(_orientation(image))
        flat = _as_rgb(image)
        return flat.transpose(turn) if turn is not None else flat


def letterbox(image: Image.Image, width: int, height: int) -> Image.Image:
    """The whole picture inside `width` x `height`, aspect kept, centred on white.

    HuMo's own framing of reference images (Phantom-video/HuMo): Lanczos, sides rounded down, the odd pixel of the
    border right or below.
    """
    ratio = image.width / image.height
    is_wider = ratio > width / height
    inner_width = width if is_wider else max(1, int(height * ratio))
    inner_height = max(1, int(width / ratio)) if is_wider else height
    inner = image.convert("RGB").resize((inner_width, inner_height), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (width, height), "white")
    canvas.paste(inner, ((width - inner_width) // 2, (height - inner_height) // 2))
    return canvas


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[tuple[ImageFile.ImageFile, str]]:
    """The picture, its header checked, and its format; what Pillow raises while it decodes becomes IMAGE_CORRUPT."""
    with open_regular(path, max_bytes=limits.image_bytes, empty=Code.IMAGE_CORRUPT) as stream:
        name = picture_format(stream.read(12))
        if name is None:
            raise InvalidMedia(
                Code.IMAGE_TYPE, f"{path.name} is no PNG, JPEG or WebP", fix="export it as PNG, JPEG or WebP"
            )
        try:
            with warnings.catch_warnings():
                # Pillow only warns of pictures between its two limits; ours is the one that counts.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                _check_layout(stream, name)
                stream.seek(0)
                with Image.open(stream, formats=[name]) as image:
                    _check_header(path, image, name, limits)
                    yield image, name
        except Image.DecompressionBombError:
            raise _too_large(path, "far more", limits) from None
        except InvalidMedia:
            raise
        except _DECODER_ERRORS as error:
            raise InvalidMedia(
                Code.IMAGE_CORRUPT, f"{path.name} does not decode as {name}: {error}", fix="export the picture again"
            ) from error


# Pillow's decoders raise all of these on damaged bytes.
_DECODER_ERRORS = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
)


def _check_layout(stream: BinaryIO, name: str) -> None:
    """What Pillow believes or takes its time for: it is looked at before Pillow sees it."""
    if name == "WEBP":
        return
    stream.seek(0)
    data = stream.read()
    if name == "JPEG":
        check_jpeg_layout(data)
        return
    check_png_layout(data)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()


def _check_header(path: Path, image: ImageFile.ImageFile, name: str, limits: Limits) -> None:
    """Before a single pixel is decoded. A JPEG of several pictures (a phone's depth map) is not an animation."""
    width, height = image.size
    if width * height > limits.image_max_pixels:
        raise _too_large(path, f"{width}x{height} =", limits, width * height)
    if min(width, height) < limits.image_min_side:
        raise InvalidMedia(
            Code.IMAGE_TOO_SMALL,
            f"{path.name} is {width}x{height}, expected {limits.image_min_side} pixels or more on both sides",
            fix="give a larger picture",
        )
    if name != "JPEG" and getattr(image, "n_frames", 1) > 1:
        raise InvalidMedia(
            Code.IMAGE_ANIMATED, f"{path.name} has more than one frame", fix="export one frame as a still picture"
        )


def _too_large(path: Path, size: str, limits: Limits, pixels: int | None = None) -> InvalidMedia:
    return InvalidMedia(
        Code.IMAGE_TOO_LARGE,
        f"{path.name} has {size} {pixels if pixels is not None else 'pixels than Pillow opens'}, "
        f"allowed are {limits.image_max_pixels} pixels",
        fix="scale the picture down",
    )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none; damaged EXIF data is no reason to refuse a picture."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) else 1


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16 bits to 8 instead of scaling them.
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(white, over).convert("RGB")
    return image.convert("RGB")
