"""Text on pictures: legible, wrapped, the same everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_runtime.engines.lettering import font, legible, wrap
from model_runtime.engines.storyboard import timecode


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Café  Müller\nØst", "Cafe Muller Ost"),
        ("10–12 °C", "10-12 °C"),  # noqa: RUF001 - an en dash is what a spreadsheet makes of a hyphen
        ("你好, hello", "[2 CJK], hello"),
        ("Привет", "[6 Cyrillic]"),
        ("ok 👍🏽", "ok [2 signs]"),
    ],
)
def test_what_the_font_lacks_is_counted(text: str, shown: str) -> None:
    """Accents are dropped, other scripts are named and counted, nothing is drawn as an empty box."""
    assert legible(text) == shown


@given(st.text(max_size=300), st.integers(20, 400))
def test_lines_fit(text: str, width: int) -> None:
    """No line is wider than the room, nor are there more lines than asked for, whatever the text."""
    face = font(12)
    lines = wrap(legible(text), face, width, 3)
    assert len(lines) <= 3
    assert all(face.getlength(line) <= width for line in lines)


def test_what_does_not_fit_ends_in_dots() -> None:
    """A long caption says that it goes on."""
    assert wrap("word " * 100, font(12), 100, 2)[-1].endswith("…")
    assert wrap("short", font(12), 100, 2) == ["short"]


def test_the_timecode_counts_frames_at_25() -> None:
    """HH:MM:SS:FF."""
    assert [timecode(frame) for frame in (0, 24, 25, 25 * 3661 + 7)] == [
        "00:00:00:00",
        "00:00:00:24",
        "00:00:01:00",
        "01:01:01:07",
    ]
