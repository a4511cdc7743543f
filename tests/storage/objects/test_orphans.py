"""What nothing points to."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput, Permanent
from storage.objects.memory import MemoryStore
from storage.objects.orphans import MIN_AGE_S, find_orphans
from storage.objects.protocol import ObjectStore
from storage.objects.verified import REUSE_WITHIN_S

DAY = 86_400.0
NOW = 1_000_000_000.0
COLLECTED = st.sampled_from(["clips/", "inputs/", "probe/", "videos/"])
KEYS = st.builds(
    lambda prefix, rest: prefix + rest, COLLECTED, st.from_regex(r"[ab](/[ab.0-]{0,2}[ab]){0,2}", fullmatch=True)
)


@given(
    stored=st.dictionaries(KEYS, st.floats(0, 3 * DAY)),
    ledger=st.sets(KEYS),
    kept_elsewhere=st.sets(st.sampled_from(["inbox/sheet.csv", "reports/c/index.html", "other/x"])),
)
def test_orphans_are_what_is_old_and_unreferenced(
    stored: dict[str, float], ledger: set[str], kept_elsewhere: set[str]
) -> None:
    """For any store and ledger: exactly the collected keys that are not referenced and older than the guard."""
    clock = [NOW]
    store = MemoryStore(clock=lambda: clock[0])
    ages = {**stored, **dict.fromkeys(kept_elsewhere, 3 * DAY)}
    for key, age in ages.items():
        clock[0] = NOW - age
        store.put_bytes(key, b"x", media_type="video/mp4")
    found = [orphan.key for orphan in find_orphans(store, sorted(ledger), older_than_s=DAY, now=NOW)]
    assert found == sorted(key for key, age in stored.items() if key not in ledger and NOW - age < NOW - DAY)


def test_orphans_of_every_store(store: ObjectStore) -> None:
    """On every store: with an age guard in the past all unreferenced objects are found, with none young ones."""
    for key in ("clips/a/1", "clips/a/2", "inputs/a", "inbox/a", "reports/c/x", "videos/c/v/1.mp4"):
        store.put_bytes(key, b"x", media_type="video/mp4")
    now = store.stat("clips/a/1").modified_at
    later = now + 2 * DAY
    referenced = ["clips/a/2", "clips/never-stored", "inputs/a"]
    assert [o.key for o in find_orphans(store, referenced, older_than_s=DAY, now=later)] == [
        "clips/a/1",
        "videos/c/v/1.mp4",
    ]
    assert list(find_orphans(store, referenced, older_than_s=DAY, now=now)) == []


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"], ["clips/B", "clips/a", "clips/C"]])
def test_a_ledger_out_of_order_names_no_orphans(keys: list[str]) -> None:
    """A database that sorts by its own collation is noticed before a referenced object is called an orphan."""
    clock = itertools.count()
    store = MemoryStore(clock=lambda: float(next(clock)))
    for key in ("clips/x", "videos/y"):
        store.put_bytes(key, b"x", media_type="video/mp4")
    with pytest.raises(Permanent, match="out of order"):
        list(find_orphans(store, [*keys, "clips/x", "videos/y"], older_than_s=DAY, now=NOW))


def test_the_age_guard_has_a_floor() -> None:
    """Nobody collects what may still be committed, or was found again a moment ago."""
    assert MIN_AGE_S >= 2 * REUSE_WITHIN_S
    with pytest.raises(InvalidInput, match="least"):
        find_orphans(MemoryStore(), [], older_than_s=MIN_AGE_S - 1, now=NOW)
