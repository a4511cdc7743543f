"""A campaign at home where files have one name each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Cli, silent_rows, write_picture, write_sheet
from tests.support.linkless import linkless_folder

pytestmark = pytest.mark.fuse


@pytest.fixture
def folder() -> Iterator[Path]:
    with linkless_folder() as found:
        (found / "file").write_bytes(b"")
        for link in (Path.symlink_to, Path.hardlink_to):
            with pytest.raises(OSError):  # noqa: PT011 - each file system has an error of its own for it
                link(found / "link", found / "file")
        yield found


def test_a_campaign_where_files_have_one_name(folder: Path) -> None:
    """Ledger, store, scratch and what comes back: all lie on it. Clips are joined, delivered, and found again."""
    cli = Cli(folder=folder)
    rows = [row | {"video": f"video-{number // 2}"} for number, row in enumerate(silent_rows(4))]
    write_picture(folder)
    words = ("run", write_sheet(folder, rows), "--engine", "pattern", "--workers", 1, "--out", folder / "out")
    first = cli.json(*words)
    assert (first["jobs_new"], first["state"]) == (4, "done")
    assert sorted(path.name for path in (folder / "out" / "videos").glob("*.mp4")) == ["video-0.mp4", "video-1.mp4"]
    assert cli.json("status", "sheet")["videos"]["published"] == 2
    again = cli.json(*words)
    assert (again["unchanged"], again["jobs_new"]) == (4, 0)
    [database] = [finding for finding in cli.json("doctor", code=1)["checks"] if finding["name"] == "database"]
    assert database["text"].startswith("SQLite, 1 campaign, on fuse.rclone: work on it from this machine alone")
