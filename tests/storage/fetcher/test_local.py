"""Files below the sheet's folder, and everything there that is none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path

import pytest

from schemas.digest import sha256_hex
from schemas.errors import InvalidMedia, Retryable
from schemas.problem import Code
from storage.fetcher import FetchedFile, Fetcher

CAP = 1_000


@pytest.fixture
def fetcher(root: Path, scratch: Path) -> Fetcher:
    return Fetcher(scratch=scratch, root=root)


def _fetch(fetcher: Fetcher, reference: str, max_bytes: int = CAP) -> FetchedFile:
    return fetcher.fetch(reference, kind="image", max_bytes=max_bytes)


def _refused(fetcher: Fetcher, reference: str, max_bytes: int = CAP) -> InvalidMedia:
    with pytest.raises(InvalidMedia) as caught:
        _fetch(fetcher, reference, max_bytes)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("reference", ["images/anna.png", "./images/anna.png", "images\\anna.png"])
def test_a_file_below_the_folder_is_copied(fetcher: Fetcher, root: Path, scratch: Path, reference: str) -> None:
    """What comes is a private copy with size and SHA-256, in the scratch folder."""
    (root / "images").mkdir()
    (root / "images" / "anna.png").write_bytes(b"anna")
    fetched = _fetch(fetcher, reference)
    (root / "images" / "anna.png").write_bytes(b"changed")
    assert fetched.path.parent == scratch
    assert fetched.path.read_bytes() == b"anna"
    assert (fetched.size, fetched.sha256) == (4, sha256_hex(b"anna"))


def test_names_with_accents_are_found_in_either_spelling(fetcher: Fetcher, root: Path) -> None:
    """A sheet written on one system finds files named on another: composed or decomposed, per component."""
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        folder = root / unicodedata.normalize(form, f"größe {form}")
        folder.mkdir()
        (folder / unicodedata.normalize(other, "é.png")).write_bytes(form.encode())
        for asked in ("NFC", "NFD"):
            reference = unicodedata.normalize(asked, f"größe {form}/é.png")
            assert _fetch(fetcher, reference).path.read_bytes() == form.encode()


def test_a_missing_file_is_missing_with_a_hint(fetcher: Fetcher, root: Path) -> None:
    """A name that differs only in case is offered."""
    (root / "images").mkdir()
    (root / "images" / "Anna.PNG").write_bytes(b"anna")
    error = _refused(fetcher, "images/anna.png")
    assert error.code is Code.REFERENCE_MISSING
    assert "images/Anna.PNG" in error.fix
    assert _refused(fetcher, "nowhere/anna.png").code is Code.REFERENCE_MISSING
    assert _refused(fetcher, "n" * 300).code is Code.REFERENCE_MISSING


def test_links_are_refused_at_every_component(fetcher: Fetcher, root: Path) -> None:
    """A link to a file, to a folder, to nothing, inside or outside of the root: none is followed."""
    (root / "images").mkdir()
    (root / "images" / "anna.png").write_bytes(b"anna")
    (root / "inside.png").symlink_to(root / "images" / "anna.png")
    (root / "outside.png").symlink_to(root.parent / "secret.png")
    (root / "dangling.png").symlink_to("nothing")
    (root / "folder").symlink_to(root / "images")
    (root / "up").symlink_to("..")
    for reference in ("inside.png", "outside.png", "dangling.png", "folder/anna.png", "up/secret.png"):
        error = _refused(fetcher, reference)
        assert error.code is Code.REFERENCE_NOT_A_FILE
        assert "symbolic link" in error.message


def test_what_is_no_regular_file_is_refused_without_waiting(fetcher: Fetcher, root: Path) -> None:
    """A pipe nobody writes to, a folder, a socket and a device are refused at once."""
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    (root / "file").write_bytes(b"x")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(root)
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        for reference in ("pipe", "folder", "folder/", "socket", "file/below", "pipe/below"):
            assert _refused(fetcher, reference).code is Code.REFERENCE_NOT_A_FILE
    devices = Fetcher(scratch=root / "scratch", root=Path("/dev"))
    for reference in ("zero", "null", "tty"):
        assert _refused(devices, reference).code is Code.REFERENCE_NOT_A_FILE


def test_a_pipe_is_not_even_opened(fetcher: Fetcher, root: Path) -> None:
    """A writer that waits for a reader of the pipe goes on waiting: opening is a deed too."""
    os.mkfifo(root / "pipe")
    opened = threading.Event()

    def write() -> None:
        descriptor = os.open(root / "pipe", os.O_WRONLY)
        opened.set()
        os.close(descriptor)

    writing = threading.Thread(target=write)
    writing.start()
    for _ in range(50):
        _refused(fetcher, "pipe")
        assert not opened.wait(0.004)
    os.close(os.open(root / "pipe", os.O_RDONLY))
    writing.join(10)
    assert opened.is_set()


def test_size_is_capped_by_what_is_said_and_by_what_comes(fetcher: Fetcher, root: Path, scratch: Path) -> None:
    """A file at the cap passes, one byte more does not; a file without an honest size is cut off as it comes."""
    (root / "fits").write_bytes(b"x" * CAP)
    (root / "over").write_bytes(b"x" * (CAP + 1))
    with (root / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert _fetch(fetcher, "fits").size == CAP
    for reference in ("over", "sparse"):
        error = _refused(fetcher, reference)
        assert error.code is Code.REFERENCE_TOO_LARGE
        assert "1,000" in error.message
    endless = Fetcher(scratch=scratch, root=Path("/proc/self"))
    assert _refused(endless, "maps", 10).code is Code.REFERENCE_TOO_LARGE
    assert [path.stat().st_size for path in scratch.iterdir()] == [CAP]


def test_a_root_that_is_exchanged_under_way_leads_nowhere(fetcher: Fetcher, root: Path) -> None:
    """While folders and links change places again and again, what comes is the file inside or a refusal."""
    outside = root.parent / "outside"
    (root / "images").mkdir()
    outside.mkdir()
    (root / "images" / "anna.png").write_bytes(b"anna")
    (outside / "anna.png").write_bytes(b"secret")
    (root / "other").symlink_to(outside)
    exchange = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "here, exchange = -100, 2\n"
        "while os.getppid() == int(sys.argv[1]):\n"
        "    libc.renameat2(here, b'images', here, b'other', exchange)\n"
    )
    exchanging = subprocess.Popen([sys.executable, "-c", exchange, str(os.getpid())], cwd=root)
    seen: list[str] = []
    deadline = time.monotonic() + 20
    try:
        while len(seen) < 1500 or not {"anna", Code.REFERENCE_NOT_A_FILE.value} <= set(seen):
            assert time.monotonic() < deadline, set(seen)
            seen.append(_content_or_code(fetcher, "images/anna.png"))
    finally:
        exchanging.kill()
        exchanging.wait()
    assert set(seen) == {"anna", Code.REFERENCE_NOT_A_FILE.value}


def _content_or_code(fetcher: Fetcher, reference: str) -> str:
    try:
        fetched = _fetch(fetcher, reference)
    except InvalidMedia as error:
        return error.code.value
    content = fetched.path.read_text()
    fetched.path.unlink()
    return content


def test_without_a_root_there_are_no_relative_references(scratch: Path) -> None:
    """A sheet that came without a folder cannot name files."""
    assert _refused(Fetcher(scratch=scratch), "anna.png").code is Code.REFERENCE_OUTSIDE_ROOT


def test_a_root_may_itself_be_reached_through_links(root: Path, scratch: Path) -> None:
    """The operator's own folder is trusted, however it is named."""
    (root / "anna.png").write_bytes(b"anna")
    alias = root.parent / "alias"
    alias.symlink_to(root)
    assert _fetch(Fetcher(scratch=scratch, root=alias), "anna.png").size == 4


def test_one_reference_is_fetched_once(fetcher: Fetcher, root: Path, scratch: Path) -> None:
    """Asked again, from several threads at once, the same copy comes; a copy that was taken away is made anew."""
    (root / "anna.png").write_bytes(b"anna")
    found: list[FetchedFile] = []
    threads = [threading.Thread(target=lambda: found.append(_fetch(fetcher, "anna.png"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(list(scratch.iterdir())) == 1
    found[0].path.rename(root.parent / "taken")
    assert _fetch(fetcher, "anna.png").path.read_bytes() == b"anna"


def test_a_scratch_folder_that_fails_is_no_rows_fault(root: Path) -> None:
    """What the platform lacks is Retryable, not a problem of the row."""
    (root / "anna.png").write_bytes(b"anna")
    (root / "scratch").write_bytes(b"a file in the way")
    with pytest.raises(Retryable, match="scratch"):
        _fetch(Fetcher(scratch=root / "scratch", root=root), "anna.png")


def test_fetching_leaves_no_descriptor_open(fetcher: Fetcher, root: Path) -> None:
    """Good and bad references alike close what they opened."""
    (root / "images").mkdir()
    (root / "images" / "anna.png").write_bytes(b"anna" * 1000)
    os.mkfifo(root / "images" / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        _fetch(fetcher, "images/anna.png", 10_000).path.unlink()
        for reference in ("images/anna.png", "images/pipe", "images/none", "images/anna.png/x"):
            _refused(fetcher, reference, 10)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
