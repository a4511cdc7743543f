"""How text of strangers is shown in messages: shortened, and with nothing in it that could act on a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def shown(text: str, *, limit: int = 48) -> str:
    """`text` in single quotes, at most `limit` characters of it, with what is not printable escaped.

    Bidirectional controls, zero-width characters and lone surrogates count as not printable.
    """
    return f"'{visible(text)}'" if len(text) <= limit else f"'{visible(text[:limit])}...' ({len(text)} characters)"


def visible(text: str) -> str:
    """`text` with what is not printable escaped, for places where quotes would be in the way."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    number = ord(character)
    return short or (f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}")


def counted(number: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def lines_of(lines: Sequence[int], *, apart_from: int = 0, limit: int = 3) -> str:
    """`line 4`, `lines 4 and 9`, `lines 4, 9, 12 and 7 more`; without the line `apart_from`."""
    first = [line for line in lines[: limit + 1] if line != apart_from][:limit]
    more = len(lines) - len(first) - (apart_from > 0)
    if more > 0:
        return f"lines {', '.join(map(str, first))} and {more:,} more"
    if len(first) == 1:
        return f"line {first[0]}"
    return f"lines {', '.join(map(str, first[:-1]))} and {first[-1]}"
