"""A scratch disk that is full while videos are joined."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from schemas.states import Blame, Ending
from tests.support.chaos_arena import Arena, clips
from tests.support.chaos_audit import read_books
from tests.support.chaos_scenes import story


def test_a_join_that_does_not_fit_blames_the_platform(tmp_path: Path) -> None:
    """Nothing of it is published and nothing is left behind; the video that fits is published by the same flow."""
    arena = Arena(folder=tmp_path / "arena", lease_ttl_s=20.0)
    small = Path(arena.settings.home) / "scratch"
    small.mkdir(parents=True)
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount += [f'mount -t tmpfs -o size=560k tmpfs {small} && exec "$@"', "sh"]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    long = [row | {"video": "long", "prompt": f"{row['prompt']} [noise]"} for row in clips(8)]
    short = [row | {"row_id": "short"} for row in clips(1)]
    campaign_id = arena.submit([*long, *short], max_attempts=2)
    chronicle = story(arena.start([arena.worker(0), arena.flow(0, campaign_id)], prefix=mount))
    assert chronicle.ended
    books = read_books(arena.settings)
    assert {row["name"]: row["state"] for row in books.videos} == {"long": "failed", "short": "published"}
    failures = [row for row in books.attempts if row["kind"] == "join" and row["ending"] != Ending.OK]
    assert [(row["ending"], row["blame"]) for row in failures] == [(Ending.WORKER_FAULT, Blame.PLATFORM)] * 2
    assert all("the scratch disk is full" in row["message"] for row in failures)
