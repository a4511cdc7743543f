"""The layout, as the code makes it and as its page tells it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.lease import Lease, LeaseKind
from storage.objects import layout
from storage.objects.keys import check_key

PAGE = Path(__file__).parents[3] / "docs" / "bucket_layout.md"
HASH = "ab" + "0" * 62
LEASE = Lease(
    kind=LeaseKind.JOIN,
    subject="v1",
    campaign_id="c1",
    video_id="v1",
    epoch=7,
    attempt_id="f00d",
    worker="host/0",
    expires_at=0.0,
    ttl=90.0,
)

KEYS = {
    f"inputs/ab/{HASH}": layout.input_key(HASH),
    f"clips/ab/{HASH}/000007-f00d.mp4": layout.clip_key(HASH, LEASE),
    "videos/c1/v1/000007-f00d.mp4": layout.video_key(LEASE),
    "videos/c1/v1/000007-f00d.poster.jpg": layout.poster_key(LEASE),
    "videos/c1/v1/000007-f00d.still-2.jpg": layout.still_key(LEASE, 2),
    "reports/c1/index.html": layout.report_key("c1", "index.html"),
    "probe/beef": layout.probe_key("beef"),
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_never_moves(key: str) -> None:
    """What was written under a key yesterday is looked for there tomorrow; every key is lawful."""
    assert KEYS[key] == key
    assert check_key(key) == key


def test_two_attempts_never_share_a_key() -> None:
    """Another attempt with the same epoch, or another epoch, writes elsewhere."""
    others = [LEASE.model_copy(update=change) for change in ({"attempt_id": "beef"}, {"epoch": 8})]
    for name in (layout.video_key, layout.poster_key, lambda lease: layout.clip_key(HASH, lease)):
        assert len({name(lease) for lease in (LEASE, *others)}) == 3


def test_the_page_tells_every_prefix_and_what_is_collected() -> None:
    """The table of the page has one prefix per kind of key, and marks exactly COLLECTED as collectable."""
    rows = re.findall(r"^\| `([a-z]+/)[^|]*\|[^|]*\|[^|]*\| ([a-z]+)", PAGE.read_text(encoding="utf-8"), flags=re.M)
    told = {prefix: word != "never" for prefix, word in rows}
    assert set(told) == {key.split("/")[0] + "/" for key in KEYS} | {layout.INBOX}
    assert tuple(sorted(prefix for prefix, collected in told.items() if collected)) == layout.COLLECTED
