"""File names for videos: readable, unique on every file system, derived from ids and never from a prompt."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

from schemas.digest import sha256_hex

LONGEST = 80
_UNSAFE = re.compile(r"[^A-Za-z0-9._ -]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices."""


def file_stems(names: Mapping[str, str]) -> dict[str, str]:
    """{video id: file name without suffix} from {video id: video name}.

    A name that is safe already stays as it is. One that had to be changed, or that another name equals on a file
    system without case, gets a piece of its hash behind it, so that it stays the same when videos come and go.
    """
    plain = {video_id: _plain(name) for video_id, name in names.items()}
    alike = Counter(stem.casefold() for stem in plain.values())
    stems: dict[str, str] = {}
    taken: set[str] = set()
    changed = []
    for video_id, stem in plain.items():
        if stem == names[video_id] and alike[stem.casefold()] == 1:
            stems[video_id] = stem
            taken.add(stem.casefold())
        else:
            changed.append(video_id)
    for video_id in changed:
        stems[video_id] = _distinct(
            plain[video_id], sha256_hex(names[video_id].encode("utf-8", "surrogatepass")), taken
        )
        taken.add(stems[video_id].casefold())
    return {video_id: stems[video_id] for video_id in names}


def _distinct(stem: str, digest: str, taken: set[str]) -> str:
    for length in range(8, len(digest) + 1):
        candidate = f"{stem}-{digest[:length]}"
        if candidate.casefold() not in taken:
            return candidate
    raise ValueError(f"two videos have one name: {stem!r}")


def _plain(name: str) -> str:
    """The nearest safe name: accents dropped, everything else that is not a letter, digit, blank, `.`, `_` or `-`
    a `-`."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    stem = _UNSAFE.sub("-", letters).strip("-. ")[:LONGEST].rstrip("-. ")
    return f"video-{stem}" if _RESERVED.fullmatch(stem) else stem or "video"
