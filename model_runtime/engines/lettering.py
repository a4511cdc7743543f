"""Text on pictures with the one font that ships with Pillow: the same pixels on every machine."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import groupby

from PIL import ImageFont

Font = ImageFont.FreeTypeFont

_OTHER_SIGNS = frozenset(
    "\N{COPYRIGHT SIGN}\N{DEGREE SIGN}\N{PLUS-MINUS SIGN}\N{ACUTE ACCENT}\N{MIDDLE DOT}\N{TRADE MARK SIGN}"
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
    "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
)
"""What Pillow's font (a part of Aileron) can draw besides ASCII."""

_FOLDED = {
    **dict.fromkeys("\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}", "-"),
    "¡": "!",
    "¿": "?",
    "ß": "ss",
    "æ": "ae",
    "Æ": "AE",
    "œ": "oe",
    "ø": "o",
    "Ø": "O",
    "ł": "l",
    "Ł": "L",
}
"""What NFKD leaves whole although two plain letters, or one, say it."""


@lru_cache(maxsize=32)
def font(size: int) -> Font:
    """Pillow's own scalable font; `size` in pixels."""
    found = ImageFont.load_default(size)
    assert isinstance(found, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return found


def legible(text: str) -> str:
    """`text` in signs that the font has: accents are dropped, other scripts are counted, white space is one space.

    A system font would draw more, but another machine has others, and equal requests must give equal clips.
    """
    folded = unicodedata.normalize("NFKD", " ".join(text.split()))
    plain = "".join(_FOLDED.get(sign, sign) for sign in folded if not unicodedata.combining(sign))
    runs = ((script, "".join(signs)) for script, signs in groupby(plain, key=_script))
    return "".join(f"[{len(run)} {script}]" if script else run for script, run in runs)


def _script(sign: str) -> str:
    """The script's name of a sign that the font lacks; empty for one that it has."""
    if (sign.isascii() and sign.isprintable()) or sign in _OTHER_SIGNS:
        return ""
    category = unicodedata.category(sign)
    if not category.startswith("L"):
        return "signs"
    return unicodedata.name(sign, "LETTERS").split()[0].capitalize().replace("Cjk", "CJK")


def wrap(text: str, face: Font, width: int, lines: int) -> list[str]:
    """Break at spaces (long words anywhere) into at most `lines` lines of `width` pixels; the rest becomes `…`."""
    found: list[str] = []
    words = text.split()
    while words and len(found) < lines:
        line = ""
        while words and face.getlength(f"{line} {words[0]}".strip()) <= width:
            line = f"{line} {words.pop(0)}".strip()
        if not line:
            line, words[0] = _split(words[0], face, width)
        found.append(line)
    if words and found:
        last = found[-1]
        while last and face.getlength(f"{last}…") > width:
            last = last[:-1]
        found[-1] = f"{last.rstrip()}…"
    return found


def _split(word: str, face: Font, width: int) -> tuple[str, str]:
    count = len(word)
    while count > 1 and face.getlength(word[:count]) > width:
        count -= 1
    return word[:count], word[count:]
