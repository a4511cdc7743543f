"""Pictures that are none, lie about their size, or are made to cost."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from schemas.problem import Code
from tests.support.hostile import Case, cell, with_media
from tests.support.media_files import image_bytes, photo, png_bomb

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def pictures() -> Iterator[Case]:
    """Every hostile picture, each in the row `bad` on line 3."""
    for name, file, make, code in (*_no_pictures(), *_cut_off(), *_png(), *_jpeg(), *_webp()):
        yield picture_case(name, file, make, code)


def picture_case(name: str, file: str, make: bytes | Callable[[Path], object], code: Code) -> Case:
    said = cell(code, "image", line=3, row_id="bad")
    return Case(name=f"picture: {name}", build=with_media("image", file, make), said=(said,))


Spec = tuple[str, str, bytes | Callable[[Path], object], Code]


def _no_pictures() -> Iterator[Spec]:
    """Other formats under a picture's name."""
    for name, data in _other_formats():
        yield name, "face.png", data, Code.IMAGE_TYPE
    yield "nothing", "face.png", b"", Code.IMAGE_CORRUPT
    yield "signature of png alone", "face.png", SIGNATURE, Code.IMAGE_CORRUPT
    yield "signature of jpeg alone", "face.jpg", b"\xff\xd8\xff", Code.IMAGE_CORRUPT
    yield "signature of webp alone", "face.webp", b"RIFF\4\0\0\0WEBP", Code.IMAGE_CORRUPT
    yield "postscript behind a png's signature", "face.png", SIGNATURE + _POSTSCRIPT, Code.IMAGE_CORRUPT
    yield (
        "noise behind a jpeg's signature",
        "face.jpg",
        b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40,
        Code.IMAGE_CORRUPT,
    )


_POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n(%pipe%id) (w) file closefile\n"
_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    b'<image xlink:href="http://169.254.169.254/latest/meta-data"/><script>alert(1)</script></svg>'
)


def _other_formats() -> Iterator[tuple[str, bytes]]:
    for kind in ("GIF", "TIFF", "BMP", "ICO", "PPM", "TGA", "PDF", "EPS", "JPEG2000", "PCX", "DDS", "ICNS", "SGI"):
        try:
            yield kind.lower(), image_bytes(photo(128, 128), kind)
        except (KeyError, OSError):
            # A build of Pillow without that encoder; its own decoder is what was to be tried, and it is not there.
            continue
    yield "postscript", _POSTSCRIPT
    yield "svg", _SVG
    yield "svg with a mark", b"\xef\xbb\xbf" + _SVG
    yield "text", b"this is a letter and no picture"
    yield "html", b"<!doctype html><img src=x onerror=alert(1)>"
    yield "heic", b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(200)
    yield "avif", b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + bytes(200)
    yield "jpeg xl", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200)
    yield "photoshop", b"8BPS\0\1" + bytes(200)
    yield "imagemagick script", b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://127.0.0.1/x|id)'\npop"
    yield "ffconcat script", b"ffconcat version 1.0\nfile good.png\n"
    yield "playlist", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n"
    yield "gzip", gzip.compress(bytes(10_000_000), mtime=0)
    yield "xz", lzma.compress(bytes(10_000_000))
    yield "zip bomb", zip_bomb()
    yield "elf", b"\x7fELF\2\1\1\0" + bytes(200)
    yield "pickle", b"\x80\x04cposix\nsystem\n(S'id'\ntR."


def zip_bomb() -> bytes:
    """Ten members of ten megabytes each in some kilobytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(10):
            archive.writestr(zipfile.ZipInfo(f"{number}.png"), bytes(10_000_000), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _cut_off() -> Iterator[Spec]:
    for kind, file in (("PNG", "face.png"), ("JPEG", "face.jpg"), ("WEBP", "face.webp")):
        whole = image_bytes(photo(200, 200), kind)
        for share in (0.1, 0.5, 0.9):
            yield f"{kind} cut off at {share:.0%}", file, whole[: int(len(whole) * share)], Code.IMAGE_CORRUPT
        if kind != "JPEG":
            yield f"{kind} without its last byte", file, whole[:-1], Code.IMAGE_CORRUPT
    for chunk in (8, 16, 33):
        yield f"PNG of {chunk} bytes", "face.png", image_bytes(photo(), "PNG")[:chunk], Code.IMAGE_CORRUPT


def png_chunk(kind: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    checked = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checked)


def png(
    *chunks: bytes, width: int = 80, height: int = 80, depth: int = 8, colour: int = 2, pixels: bytes | None = None
) -> bytes:
    """A PNG with `chunks` between its header and its pixels; black unless `pixels` says otherwise."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = zlib.compress(bytes(height * (1 + 3 * width))) if pixels is None else pixels
    return SIGNATURE + header + b"".join(chunks) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def _png() -> Iterator[Spec]:
    bomb = zlib.compress(bytes(64 << 20), 9)
    corrupt, large = Code.IMAGE_CORRUPT, Code.IMAGE_TOO_LARGE
    for name, data, code in (
        ("text that swells", png(png_chunk(b"zTXt", b"Comment\0\0" + bomb)), corrupt),
        ("international text that swells", png(png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb)), corrupt),
        ("colour profile that swells", png(png_chunk(b"iCCP", b"icc\0\0" + bomb)), corrupt),
        (
            "a hundred texts that swell",
            png(*100 * (png_chunk(b"zTXt", b"C\0\0" + zlib.compress(bytes(900_000))),)),
            corrupt,
        ),
        ("half a million empty parts", png(*500_000 * (png_chunk(b"tEXt", b"a\0b"),)), corrupt),
        ("half a million unknown parts", png(*500_000 * (png_chunk(b"abCd", b""),)), corrupt),
        ("too few pixels", png(pixels=zlib.compress(bytes(100))), corrupt),
        ("pixels that are no deflate", png(pixels=b"\xff" * 1000), corrupt),
        (
            "a wrong checksum",
            SIGNATURE + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 80, 80, 8, 2, 0, 0, 0), crc=1),
            corrupt,
        ),
        ("no header", SIGNATURE + png_chunk(b"IDAT", b"x") + png_chunk(b"IEND", b""), corrupt),
        ("a chunk of two gigabytes", SIGNATURE + b"\x7f\xff\xff\xffIHDR" + bytes(40), corrupt),
        ("a depth of 3", png(depth=3), corrupt),
        ("a colour type of 9", png(colour=9), corrupt),
        ("no width", png(width=0), corrupt),
        ("63 pixels high", png(height=63), Code.IMAGE_TOO_SMALL),
        ("one pixel", png(width=1, height=1), Code.IMAGE_TOO_SMALL),
        ("two thousand million square", png(width=2**31 - 1, height=2**31 - 1, pixels=b""), large),
        ("a line of forty million", png(width=40_000_001, height=64, pixels=b""), large),
        ("one pixel more than allowed", png(width=40_000_001, height=1, pixels=b""), large),
    ):
        yield f"png, {name}", "face.png", data, code
    for side in (6_325, 9_000, 13_000, 20_000):
        yield f"png bomb of {side} square", "face.png", partial(_write_bomb, side), large
    frames = [photo(80, 80, seed=n) for n in range(3)]
    animation = image_bytes(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield "animated png", "face.png", animation, Code.IMAGE_ANIMATED
    yield "40 megapixels, then nothing", "face.png", partial(_write_half, 6_300), corrupt


def _write_bomb(side: int, path: Path) -> None:
    path.write_bytes(png_bomb(side, side))


def _write_half(side: int, path: Path) -> None:
    data = png_bomb(side, side)
    path.write_bytes(data[: len(data) // 2] + data[-12:])


def _jpeg() -> Iterator[Spec]:
    plain = image_bytes(photo(200, 200), "JPEG")
    size = plain.index(b"\xff\xc0") + 5
    huge = plain[:size] + struct.pack(">HH", 65_500, 65_500) + plain[size + 4 :]
    yield "jpeg of 65,500 square", "face.jpg", huge, Code.IMAGE_TOO_LARGE
    tiny = plain[:size] + struct.pack(">HH", 20, 200) + plain[size + 4 :]
    yield "jpeg of 20 lines", "face.jpg", tiny, Code.IMAGE_TOO_SMALL
    yield "jpeg without a scan", "face.jpg", plain[: plain.index(b"\xff\xda")] + b"\xff\xd9", Code.IMAGE_CORRUPT
    yield "jpeg without tables", "face.jpg", plain.replace(b"\xff\xdb", b"\xff\xfe"), Code.IMAGE_CORRUPT
    notes = plain[:2] + b"\xff\xfe\0\2" * 2_000_000 + plain[2:]
    yield "jpeg of two million remarks", "face.jpg", notes, Code.IMAGE_CORRUPT
    yield "jpeg of a thousand scans", "face.jpg", partial(_write_scans, 6_000, 1_000), Code.IMAGE_CORRUPT


def scan_bomb(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each costs a walk over all of its blocks."""
    grey = Image.new("L", (side, side), 128)
    data = image_bytes(grey, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"


def _write_scans(side: int, scans: int, path: Path) -> None:
    path.write_bytes(scan_bomb(side, scans))


def _webp() -> Iterator[Spec]:
    frames = [photo(80, 80, seed=n) for n in range(3)]
    animation = image_bytes(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    yield "animated webp", "face.webp", animation, Code.IMAGE_ANIMATED
    yield "webp of 16,000 square", "face.webp", partial(_write_flat, (16_000, 16_000)), Code.IMAGE_TOO_LARGE
    whole = image_bytes(photo(200, 200), "WEBP", lossless=True)
    torn = bytes(b ^ 0x55 if n > 40 else b for n, b in enumerate(whole))
    yield "webp of noise", "face.webp", torn, Code.IMAGE_CORRUPT


def _write_flat(size: tuple[int, int], path: Path) -> None:
    # VP8L: signature byte, then 14 bits of width and of height less one; nothing of the picture need follow.
    bits = (size[0] - 1) | (size[1] - 1) << 14
    body = b"\x2f" + struct.pack("<I", bits) + bytes(60)
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)
