"""The columns that have a meaning, and the ones that callsheet writes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from schemas.errors import InvalidInput
from schemas.manifest.wording import visible

REQUIRED = ("row_id", "prompt")

COLUMNS = (
    *REQUIRED,
    "image",
    "audio",
    "video",
    "shot",
    "mode",
    "seed",
    "negative_prompt",
    "width",
    "height",
    "duration",
    "priority",
    "not_before",
    "consent_ref",
)
"""Every column with a meaning, in the order of docs/manifest.md."""

BASE = "_base"
"""The one column beginning with `_` that is read: where a row's relative references start from."""

RESULT_COLUMNS = (
    "_status",
    "_video_url",
    "_poster_url",
    "_duration_s",
    "_seed",
    "_attempts",
    "_gpu_s",
    "_error_code",
    "_error",
)
"""What results.csv adds to the input's own columns, in this order."""

_OTHER_NAMES: Mapping[str, str] = {
    "id": "row_id",
    "row": "row_id",
    "key": "row_id",
    "text": "prompt",
    "description": "prompt",
    "picture": "image",
    "photo": "image",
    "img": "image",
    "images": "image",
    "reference": "image",
    "speech": "audio",
    "voice": "audio",
    "sound": "audio",
    "wav": "audio",
    "negative": "negative_prompt",
    "size_x": "width",
    "size_y": "height",
    "seconds": "duration",
    "consent": "consent_ref",
}
"""Names that other tools give to our columns: never accepted, but suggested."""


def is_ignored(name: str) -> bool:
    """True for columns that callsheet wrote itself and does not read again."""
    return name.startswith("_") and name != BASE


def meant_column(name: str) -> str | None:
    """The column that a header which is none of ours was probably meant to be, or None."""
    if len(name) > 64:
        return None
    plain = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")
    if plain in COLUMNS:
        return plain
    stem = re.sub(r"_?(paths?|files?|urls?|uri|name|ref)$", "", plain)
    for word in (plain, stem):
        if word in _OTHER_NAMES:
            return _OTHER_NAMES[word]
    if stem in COLUMNS:
        return stem
    return closest(plain, COLUMNS, cutoff=0.8)


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that looks most like `word`, or None."""
    found = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing."""
    close = closest(word, known)
    return f"; did you mean {visible(close)}?" if close else ""


def parse_mapping(text: str) -> dict[str, str]:
    """`"text=prompt,photo=image"` as {header in the sheet: our column}.

    Raises:
        InvalidInput: a part is not `theirs=ours`, names no column of ours, or names one twice.
    """
    mapping: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        theirs, equals, ours = (piece.strip() for piece in part.partition("="))
        if not (theirs and equals and ours):
            raise InvalidInput(
                f"{part!r} is no mapping; expected THEIRS=OURS", fix='write it like --map "text=prompt,photo=image"'
            )
        if ours not in COLUMNS:
            raise InvalidInput(
                f"cannot map {theirs!r} to {ours!r}: no such column{did_you_mean(ours, COLUMNS)}",
                fix=f"map to one of {', '.join(COLUMNS)}",
            )
        if theirs in mapping or ours in mapping.values():
            raise InvalidInput(f"{part!r} maps a column a second time", fix="name each column once in --map")
        mapping[theirs] = ours
    return mapping


def trailing_result_columns(columns: Sequence[str]) -> int:
    """How many columns at the end of a header were written by callsheet: those of a results.csv or failed.csv."""
    count = 0
    for name in reversed(columns):
        if name not in RESULT_COLUMNS and name != BASE:
            break
        count += 1
    return count
