"""Temporary folders: gone with their process, however it goes, and never anybody else's."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storage.scratch import ScratchFolder


def names(parent: Path) -> set[str]:
    return {path.name for path in parent.iterdir()}


def test_a_folder_goes_at_the_end(tmp_path: Path) -> None:
    """What lies in it goes with it, folders and links too; what a link points to stays."""
    kept = tmp_path / "kept"
    kept.write_text("kept")
    with ScratchFolder(tmp_path, "join") as scratch:
        (scratch.folder / "deep" / "er").mkdir(parents=True)
        (scratch.folder / "link").symlink_to(kept)
        (scratch.folder / "folder-link").symlink_to(tmp_path)
    assert names(tmp_path) == {"kept"}


@pytest.mark.parametrize("left", ["everything", "the lock is gone"])
def test_what_the_dead_left_is_swept(tmp_path: Path, left: str) -> None:
    """A process that was killed in the middle, even of removing its folder, is cleaned up after by the next one."""
    script = (
        "import os, sys; from pathlib import Path; from storage.scratch import ScratchFolder\n"
        "scratch = ScratchFolder(Path(sys.argv[1]), 'worker').__enter__()\n"
        "lock = scratch.folder / 'lock'\n"
        "lock.unlink() if sys.argv[2:] else (scratch.folder / 'clip.mp4').write_bytes(b'1')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    arguments = [str(tmp_path), *(["gone"] if left == "the lock is gone" else [])]
    subprocess.run([sys.executable, "-c", script, *arguments], cwd=Path(__file__).parents[2], check=False)
    assert len(names(tmp_path)) == 1
    with ScratchFolder(tmp_path, "join") as scratch:
        assert names(tmp_path) == {scratch.folder.name}


def test_what_is_still_written_to_is_swept_later(tmp_path: Path) -> None:
    """A child that outlives the killed process for a moment keeps its folder from going; a later sweep finds it."""
    dead = tmp_path / "join-0123456789ab"
    (dead / "deep").mkdir(parents=True)
    (dead / "lock").touch()
    dying = (
        "import itertools, sys; from pathlib import Path\n"
        "for number in itertools.count():\n"
        "    for folder in ('', 'deep'):\n"
        "        try:\n"
        "            Path(sys.argv[1], folder, str(number)).touch()\n"
        "        except FileNotFoundError:\n"
        "            pass\n"
        "    print(flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", dying, str(dead)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        threading.Thread(target=child.stdout.read, daemon=True).start()
        try:
            for _ in range(20):
                with ScratchFolder(tmp_path, "join"):
                    assert not dead.exists() or (dead / "lock").exists()
        finally:
            child.kill()
    with ScratchFolder(tmp_path, "join") as scratch:
        assert names(tmp_path) == {scratch.folder.name}


def test_the_living_and_strangers_are_left_alone(tmp_path: Path) -> None:
    """A folder whose process lives stays; so does every folder that has no name of ours, lock or no lock."""
    stranger = tmp_path / "my-films"
    stranger.mkdir()
    (stranger / "lock").touch()
    with ScratchFolder(tmp_path, "worker") as first, ScratchFolder(tmp_path, "join"):
        assert first.folder.is_dir()
    assert names(tmp_path) == {"my-films"}
    assert names(stranger) == {"lock"}
