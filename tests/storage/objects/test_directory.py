"""What only a folder can do wrong."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import InvalidInput, InvalidSettings, NotFound, Retryable
from storage.objects.directory import PARTS, DirectoryStore

KEY = "clips/ab/abcd/1-x.mp4"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(root)


def test_a_plain_tree_holds_the_objects(store: DirectoryStore, root: Path) -> None:
    """An object is the file that its key names; a suffix that tells the type leaves no record beside it."""
    store.put_bytes(KEY, b"film", media_type="video/mp4")
    assert (root / KEY).read_bytes() == b"film"
    assert {path.name for path in root.iterdir()} == {"clips", PARTS}
    assert list((root / PARTS).iterdir()) == []


def test_a_write_is_durable_before_its_key_shows_it(
    store: DirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data is synced, then named, then the name is synced; new folders are synced into theirs."""
    deeds: list[str] = []
    fsync, rename = os.fsync, os.rename

    def seen_fsync(descriptor: int) -> None:
        deeds.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().relative_to(root.parent)}")
        fsync(descriptor)

    def seen_rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        deeds.append(f"name {target}")
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    store.put_bytes("clips/ab/x.mp4", b"film", media_type="video/mp4")
    *folders, data, name, folder = deeds
    assert folders == ["sync .", "sync objects", "sync objects", "sync objects/clips"]
    assert data.startswith(f"sync objects/{PARTS}/")
    assert (name, folder) == ("name x.mp4", "sync objects/clips/ab")


def test_a_link_to_a_file_is_no_object(store: DirectoryStore, root: Path, tmp_path: Path) -> None:
    """A symbolic link in place of an object is not read, listed, or written through."""
    outside = tmp_path / "secret"
    outside.write_bytes(b"secret")
    store.put_bytes("clips/there", b"x", media_type="video/mp4")
    (root / "clips" / "link").symlink_to(outside)
    for attempt in (lambda: store.open("clips/link"), lambda: store.stat("clips/link")):
        with pytest.raises(NotFound):
            attempt()
    assert [found.key for found in store.list()] == ["clips/there"]
    store.put_bytes("clips/link", b"new", media_type="video/mp4")
    assert outside.read_bytes() == b"secret"
    assert not (root / "clips" / "link").is_symlink()


def test_a_link_to_a_folder_leads_nowhere(store: DirectoryStore, root: Path, tmp_path: Path) -> None:
    """A symbolic link in place of a folder is not passed in either direction."""
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "file").write_bytes(b"secret")
    root.mkdir()
    (root / "clips").symlink_to(outside)
    for attempt in (lambda: store.open("clips/file"), lambda: store.stat("clips/file")):
        with pytest.raises(NotFound):
            attempt()
    store.delete("clips/file")
    with pytest.raises(InvalidInput, match="symbolic link"):
        store.put_bytes("clips/new", b"x", media_type="video/mp4")
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"file": b"secret"}
    assert list(store.list()) == []


def test_a_pipe_is_no_object(store: DirectoryStore, root: Path) -> None:
    """A FIFO under a key neither hangs a reader nor is listed."""
    store.put_bytes("clips/there", b"x", media_type="video/mp4")
    os.mkfifo(root / "clips" / "pipe")
    with pytest.raises(NotFound):
        store.open("clips/pipe")
    assert [found.key for found in store.list()] == ["clips/there"]


def test_an_object_is_no_folder(store: DirectoryStore) -> None:
    """A key below an object, or above one, is refused with what is wrong."""
    store.put_bytes("clips/a", b"x", media_type="video/mp4")
    for key in ("clips/a/b", "clips"):
        with pytest.raises(InvalidInput, match="cannot be an object"):
            store.put_bytes(key, b"x", media_type="video/mp4")
    assert [found.key for found in store.list()] == ["clips/a"]


def test_a_full_disk_is_retryable_and_leaves_no_part(store: DirectoryStore, root: Path) -> None:
    """A write that the file system refuses half-way changes nothing and leaves nothing."""
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from schemas.errors import Retryable\n"
        "from storage.objects.directory import DirectoryStore\n"
        "store = DirectoryStore(Path(sys.argv[1]))\n"
        "store.put_bytes('clips/a', b'old', media_type='video/mp4')\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    store.put_bytes('clips/a', b'x' * 200_000, media_type='video/mp4')\n"
        "except Retryable as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True, timeout=60
    )
    assert os.strerror(errno.EFBIG) in done.stdout
    assert (root / "clips" / "a").read_bytes() == b"old"
    assert list((root / PARTS).iterdir()) == []


def test_a_writer_killed_half_way_leaves_the_old_object(store: DirectoryStore, root: Path) -> None:
    """SIGKILL in the middle of a write: the key still holds what it held, and a later check forgets the part."""
    # A suffix that tells the type: no record of it is written, so the only part is the object's.
    store.put_bytes("clips/a.mp4", b"old", media_type="video/mp4")
    fifo = root.parent / "pipe"
    os.mkfifo(fifo)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from storage.objects.directory import DirectoryStore\n"
        "DirectoryStore(Path(sys.argv[1])).put_file('clips/a.mp4', Path(sys.argv[2]), media_type='video/mp4')\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(root), str(fifo)])
    try:
        with fifo.open("wb", buffering=0) as feed:
            feed.write(b"x" * 50_000)
            _wait_for(lambda: any((root / PARTS).iterdir()))
            writer.kill()
            writer.wait()
    finally:
        writer.kill()
        writer.wait()
    assert (root / "clips" / "a.mp4").read_bytes() == b"old"
    (part,) = (root / PARTS).iterdir()
    store.check()
    assert part.exists()
    os.utime(part, (time.time() - 90_000,) * 2)
    store.check()
    assert not part.exists()


def test_a_folder_without_rights_is_a_setting(store: DirectoryStore, root: Path) -> None:
    """What the user may not do is told as a setting to mend, not as a fault that passes."""
    if os.geteuid() == 0:
        script = (
            "import os, sys\n"
            "from pathlib import Path\n"
            "from storage.objects.directory import DirectoryStore\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "DirectoryStore(Path(sys.argv[1])).check()\n"
        )
        root.mkdir(mode=0o755)
        done = subprocess.run(
            [sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=False, timeout=60
        )
        assert "InvalidSettings" in done.stderr
        return
    root.mkdir(mode=0o500)
    with pytest.raises(InvalidSettings, match="right"):
        store.check()


def test_listing_survives_what_vanishes(store: DirectoryStore) -> None:
    """Objects that are deleted while they are listed are listed or not; the others all are."""
    stay = [f"clips/{number:03d}/stays" for number in range(30)]
    for key in stay:
        store.put_bytes(key, b"", media_type="video/mp4")
        store.put_bytes(key.replace("stays", "goes"), b"", media_type="video/mp4")

    def delete() -> None:
        for key in stay:
            store.delete(key.replace("stays", "goes"))

    deleting = threading.Thread(target=delete)
    deleting.start()
    listed = [found.key for found in store.list()]
    deleting.join()
    assert [key for key in listed if key.endswith("stays")] == stay
    assert listed == sorted(listed)


def test_walking_leaves_no_descriptor_open(store: DirectoryStore, tmp_path: Path) -> None:
    """After hundreds of operations, good and bad, the process has as many files open as before."""
    store.put_bytes(KEY, b"film", media_type="video/mp4")
    before = _open_descriptors()
    for number in range(40):
        store.put_bytes(f"clips/{number}", b"x", media_type="text/plain")
        with store.open(KEY) as stream:
            stream.read(1)
        next(store.list())
        for attempt in (lambda: store.open("clips/none"), lambda: store.stat("no/folder/at/all")):
            with pytest.raises(NotFound):
                attempt()
    assert _open_descriptors() <= before


def test_too_many_open_files_is_retryable(store: DirectoryStore) -> None:
    """What the system lacks just now is Retryable."""
    store.put_bytes(KEY, b"film", media_type="video/mp4")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = os.dup(0)
    os.close(highest)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        with pytest.raises(Retryable, match="open files"):
            store.open(KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
