"""Proof that the proof can fail: each defence can be cut out, and is missed when it is."""

from __future__ import annotations

import pytest

from tests.simulation.defences import DEFENCES, Cut, Defence
from tests.simulation.removal import ROOT, SEEDS, CutDoesNotApply, cut_all_out, play_without
from tests.simulation.table import PAGE, promises_text, recorded

SAMPLE = ("fence-of-a-join", "attempt-in-the-key", "read-back", "cancel-at-publish")
"""`make defences` plays without each of them."""

NAMES = {defence.name: defence for defence in DEFENCES}


@pytest.mark.parametrize("name", NAMES)
def test_what_would_be_cut_is_there(name: str) -> None:
    """Each cut is found exactly once in the code, and what is left of the file is Python."""
    for file, left in cut_all_out(NAMES[name], ROOT).items():
        assert left != (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SAMPLE)
def test_a_defence_is_missed(name: str) -> None:
    """Without the defence a schedule breaks a promise: the one that the page names, or one soon after it."""
    seed = recorded()[name]
    assert seed is not None
    assert play_without(NAMES[name], first=seed, seeds=SEEDS) is not None


def test_the_page_knows_each_defence() -> None:
    """The page has a row for each defence, each noticed within a hundred schedules or by a test of its own."""
    noticed = recorded()
    assert set(noticed) == set(NAMES)
    assert [name for name, seed in noticed.items() if not (NAMES[name].test if seed is None else seed < SEEDS)] == []


def test_the_page_knows_each_promise() -> None:
    """The page lists every invariant in the words of the code."""
    assert promises_text() in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("there", ["this stands nowhere", "from __future__", "def "])
def test_a_cut_that_does_not_fit_is_refused(there: str) -> None:
    """A cut that the code has outgrown fails loudly: not found, found but needed, or found too often."""
    outgrown = Defence(name="x", what="", why="", cuts=(Cut(file="schemas/retry.py", there=there),))
    with pytest.raises(CutDoesNotApply, match="x: "):
        cut_all_out(outgrown, ROOT)
