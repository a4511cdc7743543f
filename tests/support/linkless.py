"""A real mount whose files can have no second name: like memory sticks (exFAT) and folders of a cloud."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_UP_WITHIN_S = 20.0


@contextmanager
def linkless_folder() -> Iterator[Path]:
    """A folder that `rclone mount` shows; neither symbolic nor hard links can be made in it."""
    if shutil.which("fusermount3") is None or not Path("/dev/fuse").exists():
        pytest.skip("this machine mounts nothing through fuse3")
    with tempfile.TemporaryDirectory(prefix="linkless-") as name:
        behind, shown, cache = (Path(name, part) for part in ("behind", "shown", "cache"))
        behind.mkdir()
        shown.mkdir()
        rclone = Path(sysconfig.get_path("scripts")) / "rclone"
        words = [rclone, "mount", "--vfs-cache-mode", "writes", "--cache-dir", cache, "--config", "", behind, shown]
        with (Path(name) / "log").open("wb") as log:
            server = subprocess.Popen(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + _UP_WITHIN_S
            while not shown.is_mount():
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(Path(name, "log").read_text(encoding="utf-8"))
                time.sleep(0.05)
            yield shown
        finally:
            subprocess.run(["fusermount3", "-u", "-z", str(shown)], check=False)
            server.wait(timeout=20)
