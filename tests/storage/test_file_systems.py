"""What lies under a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.file_systems import shared_file_system
from tests.support.linkless import linkless_folder


def test_a_local_disk_is_nobody_elses(tmp_path: Path) -> None:
    assert shared_file_system(tmp_path) == ""
    with pytest.raises(FileNotFoundError):
        shared_file_system(tmp_path / "nothing")


@pytest.mark.fuse
def test_a_mount_may_be_seen_by_others() -> None:
    with linkless_folder() as folder:
        (folder / "file").write_bytes(b"")
        assert shared_file_system(folder) == shared_file_system(folder / "file") == "fuse.rclone"
