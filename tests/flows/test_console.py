"""What the command line shows while it works."""

from __future__ import annotations

import pytest

from flows.cli import console


def test_what_each_worker_does_is_a_line_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every few seconds one line for all; none when nobody works, none before the time, none when a program reads."""
    working = {"w-0": ("anna: denoise", 3, 50), "w-1": ("ben\x1b: decode", 9, 97)}
    with console.bar() as shown:
        shown.slots(working)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(console, "LINE_EVERY_S", 0.0)
    with console.bar() as shown, console.bar(quiet=True) as silent:
        silent.slots(working)
        shown.slots({})
        shown.slots(working)
    assert capsys.readouterr().err == "anna: denoise 3/50; ben\\x1b: decode 9/97\n"
