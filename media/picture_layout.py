"""How many parts a picture's file has, told without decoding it: files made of parts are made to cost.

Pillow reads every part of a PNG or JPEG in Python, and each scan of a progressive JPEG walks over all of the picture: a
megabyte of them takes minutes.
"""

from __future__ import annotations

import re
import struct

MOST_PNG_CHUNKS = 50_000
MOST_JPEG_SEGMENTS = 20_000
MOST_JPEG_SCANS = 100
"""Encoders write ten or so."""

_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length: restarts, and the start of the image."""
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends a scan: in its data a byte FF is followed by 00 or a restart."""


def check_png_layout(data: bytes) -> None:
    """Raises ValueError: a PNG without its end, which Pillow's decoder accepts, or of too many chunks."""
    if _PNG_END not in data:
        raise ValueError("the end of the file is missing")
    place, chunks = 8, 0
    while place + 8 <= len(data):
        place += 12 + int(struct.unpack_from(">I", data, place)[0])
        chunks += 1
        if chunks > MOST_PNG_CHUNKS:
            raise ValueError(f"it has more than {MOST_PNG_CHUNKS:,} parts")


def check_jpeg_layout(data: bytes) -> None:
    """Raises ValueError: a JPEG of too many segments or scans."""
    place, segments, scans = 2, 0, 0
    while (marker := _NEXT_MARKER.search(data, place)) and data[marker.end() - 1] != _END_OF_IMAGE:
        kind, place = data[marker.end() - 1], marker.end()
        segments += 1
        scans += kind == _START_OF_SCAN
        if segments > MOST_JPEG_SEGMENTS or scans > MOST_JPEG_SCANS:
            raise ValueError(f"it has more than {MOST_JPEG_SEGMENTS:,} parts or {MOST_JPEG_SCANS} scans")
        if kind not in _ALONE and place + 2 <= len(data):
            place += int(struct.unpack_from(">H", data, place)[0])
