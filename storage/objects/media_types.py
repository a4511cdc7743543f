"""The media type that a key's suffix tells; what differs from it is kept beside the object."""

from __future__ import annotations

from pathlib import PurePosixPath

UNKNOWN = "application/octet-stream"

_BY_SUFFIX = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".md": "text/markdown",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".wav": "audio/wav",
    ".webp": "image/webp",
}


def media_type_of(key: str) -> str:
    """`application/octet-stream` where the suffix tells nothing."""
    return _BY_SUFFIX.get(PurePosixPath(key).suffix, UNKNOWN)
