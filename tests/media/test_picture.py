"""Pictures: what is accepted, how it is seen, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media.picture import check_picture, letterbox, load_picture
from schemas.errors import InvalidMedia
from schemas.problem import Code
from schemas.settings import Limits
from tests.support.media_files import image_bytes, photo, png_bomb

LIMITS = Limits()


def code_of(path: Path, limits: Limits = LIMITS) -> Code:
    """The code with which a picture is refused, by the check and by the load alike."""
    with pytest.raises(InvalidMedia) as checked:
        check_picture(path, limits)
    with pytest.raises(InvalidMedia) as loaded:
        load_picture(path, limits)
    assert checked.value.code == loaded.value.code
    assert checked.value.fix
    return checked.value.code


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_each_type_is_known_by_its_bytes(tmp_path: Path, kind: str, media_type: str) -> None:
    """The name says nothing, the first bytes everything."""
    facts = check_picture(write(tmp_path / "picture.gif", image_bytes(photo(), kind)), LIMITS)
    assert (facts.media_type, facts.width, facts.height) == (media_type, 120, 90)


@pytest.mark.parametrize(
    ("mode", "kind"), [("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "WEBP"), ("CMYK", "JPEG")]
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, kind: str) -> None:
    """Whatever is stored, the picture comes back as 8-bit RGB of the same size and brightness."""
    original = photo()
    path = write(tmp_path / "p", image_bytes(original.convert(mode), kind))
    check_picture(path, LIMITS)
    image = load_picture(path)
    assert (image.mode, image.size) == ("RGB", original.size)
    assert np.asarray(image).mean() == pytest.approx(np.asarray(original).mean(), abs=12)


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    """A 16-bit ramp keeps its middle grey."""
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (100, 1))
    image = load_picture(write(tmp_path / "p.png", image_bytes(Image.fromarray(ramp), "PNG")))
    row = np.asarray(image)[50, :, 0].astype(int)
    assert np.abs(row - np.arange(256)).max() <= 1


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    """A fully transparent pixel is white whatever colour it hides."""
    image = Image.new("RGBA", (80, 80), (10, 20, 30, 0))
    assert load_picture(write(tmp_path / "p.png", image_bytes(image, "PNG"))).getpixel((40, 40)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    """However the camera was held, the red corner is seen above left and the size is that of the seen picture."""
    seen = Image.new("RGB", (160, 96), "white")
    seen.paste((255, 0, 0), (0, 0, 40, 40))
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = image_bytes(seen if stored is None else seen.transpose(stored), "JPEG", exif=exif, quality=95)
    path = write(tmp_path / "p.jpg", data)
    facts = check_picture(path, LIMITS)
    assert (facts.width, facts.height) == (160, 96)
    red, green, _ = load_picture(path).getpixel((10, 10))
    assert red > 200
    assert green < 60


def test_a_phone_jpeg_of_two_pictures_is_no_animation(tmp_path: Path) -> None:
    """The first picture of a multi-picture JPEG counts."""
    data = image_bytes(photo(), "MPO", save_all=True, append_images=[photo(seed=1)])
    assert check_picture(write(tmp_path / "p.jpg", data), LIMITS).media_type == "image/jpeg"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_refused(tmp_path: Path, kind: str) -> None:
    """More than one frame is no reference picture."""
    data = image_bytes(photo(), kind, save_all=True, append_images=[photo(seed=1), photo(seed=2)])
    assert code_of(write(tmp_path / "p", data)) is Code.IMAGE_ANIMATED


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("missing", [4, 20, 400])
def test_a_truncated_picture_is_corrupt(tmp_path: Path, kind: str, missing: int) -> None:
    """Even the last bytes must be there."""
    data = image_bytes(photo(), kind)
    assert code_of(write(tmp_path / "p", data[:-missing])) is Code.IMAGE_CORRUPT


def test_a_flipped_bit_in_a_png_is_corrupt(tmp_path: Path) -> None:
    """Every chunk's checksum is compared."""
    data = bytearray(image_bytes(photo(), "PNG"))
    data[-30] ^= 4
    assert code_of(write(tmp_path / "p.png", bytes(data))) is Code.IMAGE_CORRUPT


@pytest.mark.parametrize("side", [9_000, 14_000, 20_000])
def test_a_bomb_is_refused_from_its_header(tmp_path: Path, side: int) -> None:
    """A PNG of too many pixels is refused before any of them is decoded."""
    header_of_bomb = png_bomb(64, 64)
    wide = header_of_bomb[:16] + side.to_bytes(4, "big") * 2 + header_of_bomb[24:]
    path = write(tmp_path / "p.png", with_header_checksum(wide))
    assert code_of(path) is Code.IMAGE_TOO_LARGE


def with_header_checksum(png: bytes) -> bytes:
    import zlib

    return png[:29] + zlib.crc32(png[12:29]).to_bytes(4, "big") + png[33:]


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n",
        b"GIF89a" + bytes(60),
        b"just text",
        b"BM" + bytes(60),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["eps", "gif", "text", "bmp", "svg"],
)
def test_other_types_are_refused_whatever_they_are_called(tmp_path: Path, data: bytes) -> None:
    """Named .png or not, only PNG, JPEG and WebP are opened."""
    assert code_of(write(tmp_path / "p.png", data)) is Code.IMAGE_TYPE


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\x40\0\0\0WEBPVP8 "])
def test_the_right_first_bytes_are_not_enough(tmp_path: Path, head: bytes) -> None:
    """Garbage behind a good beginning is corrupt."""
    assert code_of(write(tmp_path / "p", head + bytes(range(256)))) is Code.IMAGE_CORRUPT


def test_small_empty_missing_and_odd_files_have_their_codes(tmp_path: Path) -> None:
    """Each reason has its own code; a pipe is refused without waiting for a writer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert code_of(write(tmp_path / "small.png", image_bytes(photo(63, 200), "PNG"))) is Code.IMAGE_TOO_SMALL
    assert code_of(write(tmp_path / "empty.png", b"")) is Code.IMAGE_CORRUPT
    assert code_of(tmp_path / "none.png") is Code.REFERENCE_MISSING
    assert code_of(tmp_path) is Code.REFERENCE_NOT_A_FILE
    assert code_of(pipe) is Code.REFERENCE_NOT_A_FILE
    large = write(tmp_path / "large.png", image_bytes(photo(), "PNG"))
    assert code_of(large, Limits(image_bytes=100)) is Code.REFERENCE_TOO_LARGE


@pytest.mark.parametrize(
    ("source", "target", "box"),
    [
        ((70, 45), (48, 32), (0, 1, 48, 31)),
        ((31, 64), (48, 32), (16, 0, 31, 32)),
        ((100, 100), (64, 64), (0, 0, 64, 64)),
        ((1000, 3), (64, 64), (0, 31, 64, 32)),
    ],
)
def test_letterbox_keeps_the_aspect_on_white(
    source: tuple[int, int], target: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    """Sides are rounded down, the picture is centred with the odd pixel right or below, the rest is white."""
    boxed = np.asarray(letterbox(Image.new("RGB", source, "black"), *target))
    expected = np.full((target[1], target[0], 3), 255, np.uint8)
    expected[box[1] : box[3], box[0] : box[2]] = 0
    assert np.array_equal(boxed, expected)
