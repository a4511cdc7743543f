"""Only what was read back is acknowledged."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from schemas.digest import sha256_hex
from schemas.errors import Corrupted, NotFound, Retryable
from storage.objects.again import BrokenOff
from storage.objects.layout import input_key
from storage.objects.memory import MemoryStore
from storage.objects.protocol import ObjectStore
from storage.objects.verified import REUSE_WITHIN_S, get_verified, put_input, put_verified

KEY = "videos/c/v/1-x.mp4"


class CountingStore(MemoryStore):
    """Counts what is written and read, and may damage it."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock=clock)
        self.puts = self.opens = 0
        self.damage_puts: set[int] = set()
        self.break_opens: set[int] = set()

    def put_bytes(self, key: str, data: bytes, *, media_type: str) -> None:
        self.puts += 1
        super().put_bytes(key, data[:-1] if self.puts in self.damage_puts else data, media_type=media_type)

    def open(self, key: str) -> BinaryIO:
        self.opens += 1
        if self.opens in self.break_opens:
            return io.BufferedReader(_BreakingStream())
        return super().open(key)


class _BreakingStream(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise BrokenOff("the transfer broke off")


@pytest.fixture
def counting() -> CountingStore:
    return CountingStore()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"film" * 100_000)
    return path


@pytest.fixture
def long_film(tmp_path: Path) -> Path:
    """One that is hashed while it goes up."""
    path = tmp_path / "long.mp4"
    path.write_bytes(b"film" * 1_000_000)
    return path


def test_the_reference_is_of_what_was_read_back(store: ObjectStore, film: Path, tmp_path: Path) -> None:
    """On every store: key, size, SHA-256 and type of the file; and the file comes back by its reference."""
    ref = put_verified(store, KEY, film, media_type="video/mp4")
    assert (ref.key, ref.size, ref.sha256) == (KEY, 400_000, sha256_hex(film.read_bytes()))
    assert ref.media_type == store.stat(KEY).media_type == "video/mp4"
    get_verified(store, ref, tmp_path / "deep" / "back.mp4")
    assert (tmp_path / "deep" / "back.mp4").read_bytes() == film.read_bytes()


def test_a_long_file_is_one_too(store: ObjectStore, long_film: Path) -> None:
    """On every store, for a file that goes up in one piece and is hashed meanwhile."""
    ref = put_verified(store, KEY, long_film, media_type="video/mp4")
    assert (ref.size, ref.sha256) == (4_000_000, sha256_hex(long_film.read_bytes()))


def test_a_long_file_is_verified_each_time(counting: CountingStore, long_film: Path) -> None:
    """Damage on the way is found, mended where it can be, and else refused, as that of a short one."""
    counting.damage_puts = {1}
    put_verified(counting, KEY, long_film, media_type="video/mp4")
    assert (counting.puts, counting.opens) == (2, 2)
    counting.damage_puts = set(range(100))
    with pytest.raises(Corrupted, match=r"3999999 bytes .* expected 4000000"):
        put_verified(counting, KEY, long_film, media_type="video/mp4")
    with pytest.raises(NotFound):
        counting.stat(KEY)
    long_film.unlink()
    with pytest.raises(FileNotFoundError):
        put_verified(counting, KEY, long_film, media_type="video/mp4")


def test_a_short_upload_is_written_again(counting: CountingStore, film: Path) -> None:
    """One truncated write is mended without a word."""
    counting.damage_puts = {1}
    put_verified(counting, KEY, film, media_type="video/mp4")
    assert (counting.puts, counting.opens) == (2, 2)


def test_uploads_that_stay_short_are_corrupted(counting: CountingStore, film: Path) -> None:
    """After the last try the damaged object is gone and Corrupted says both sizes."""
    counting.damage_puts = set(range(100))
    with pytest.raises(Corrupted, match=r"399999 bytes .* expected 400000"):
        put_verified(counting, KEY, film, media_type="video/mp4")
    with pytest.raises(NotFound):
        counting.stat(KEY)
    assert counting.puts < 10


def test_a_broken_read_back_is_read_again_not_written_again(counting: CountingStore, film: Path) -> None:
    """A stream that breaks off says nothing about what was written."""
    counting.break_opens = {1, 2}
    put_verified(counting, KEY, film, media_type="video/mp4")
    assert (counting.puts, counting.opens) == (1, 3)


def test_a_read_back_that_never_ends_well_is_retryable(counting: CountingStore, film: Path) -> None:
    """Nothing is acknowledged, and nothing is called corrupted that was not seen to be so."""
    counting.break_opens = set(range(100))
    with pytest.raises(Retryable) as caught:
        put_verified(counting, KEY, film, media_type="video/mp4")
    assert not isinstance(caught.value, Corrupted)


def test_a_file_that_changed_since_it_was_made_is_not_uploaded(counting: CountingStore, film: Path) -> None:
    """With the SHA-256 that the file should have, a file with another one is refused before the upload."""
    with pytest.raises(Corrupted, match="when it was made"):
        put_verified(counting, KEY, film, media_type="video/mp4", sha256="0" * 64)
    assert counting.puts == 0
    put_verified(counting, KEY, film, media_type="video/mp4", sha256=sha256_hex(film.read_bytes()))


def test_a_download_is_whole_or_not_there(counting: CountingStore, film: Path, tmp_path: Path) -> None:
    """A broken transfer is done again; a wrong object leaves neither file nor part, nor touches an older file."""
    ref = put_verified(counting, KEY, film, media_type="video/mp4")
    target = tmp_path / "deep" / "back.mp4"
    counting.break_opens = {counting.opens + 1}
    get_verified(counting, ref, target)
    assert target.read_bytes() == film.read_bytes()
    MemoryStore.put_bytes(counting, KEY, b"Film" * 100_000, media_type="video/mp4")
    with pytest.raises(Corrupted, match="SHA-256"):
        get_verified(counting, ref, target)
    assert target.read_bytes() == film.read_bytes()
    assert list(target.parent.iterdir()) == [target]


def test_a_longer_object_is_not_read_to_its_end(counting: CountingStore, film: Path, tmp_path: Path) -> None:
    """An object that grew is refused soon after the size that it should have."""
    ref = put_verified(counting, KEY, film, media_type="video/mp4")
    MemoryStore.put_bytes(counting, KEY, bytes(50_000_000), media_type="video/mp4")
    with pytest.raises(Corrupted) as caught:
        get_verified(counting, ref, tmp_path / "back.mp4")
    assert "50000000" not in caught.value.message


def test_a_missing_object_is_not_found(counting: CountingStore, film: Path, tmp_path: Path) -> None:
    """A reference to nothing raises NotFound, not Corrupted."""
    ref = put_verified(counting, KEY, film, media_type="video/mp4")
    counting.delete(KEY)
    with pytest.raises(NotFound):
        get_verified(counting, ref, tmp_path / "back.mp4")


def test_an_input_lies_under_its_hash(store: ObjectStore, film: Path) -> None:
    """On every store: a file and a buffer with the same content are one object."""
    first = put_input(store, film, "audio/flac")
    second = put_input(store, film.read_bytes(), media_type="audio/flac")
    assert first == second
    assert first.key == input_key(sha256_hex(film.read_bytes()))
    assert [found.key for found in store.list("inputs/")] == [first.key]


def test_one_content_is_written_and_read_back_once(counting: CountingStore, film: Path) -> None:
    """A thousand rows with one picture cost one upload and one read back."""
    refs = {put_input(counting, film, "image/png") for _ in range(1000)}
    assert len(refs) == 1
    assert (counting.puts, counting.opens) == (1, 1)


def test_a_present_input_is_read_back_before_it_is_believed(counting: CountingStore) -> None:
    """What lies there from elsewhere is kept if it is right, and replaced if it is not, even at the right size."""
    good, bad = b"good picture", b"evil picture"
    MemoryStore.put_bytes(counting, input_key(sha256_hex(good)), good, media_type="image/png")
    put_input(counting, good, "image/png")
    assert (counting.puts, counting.opens) == (0, 1)
    other = CountingStore()
    MemoryStore.put_bytes(other, input_key(sha256_hex(good)), bad, media_type="image/png")
    ref = put_input(other, good, "image/png")
    with other.open(ref.key) as stream:
        assert stream.read() == good


def test_an_input_that_changed_after_it_was_believed_is_read_again() -> None:
    """The memory of a read back holds for the object that was read, not for the key."""
    ticks = itertools.count()
    store = CountingStore(clock=lambda: time.time() + next(ticks))
    ref = put_input(store, b"good picture", "image/png")
    MemoryStore.put_bytes(store, ref.key, b"evil picture", media_type="image/png")
    put_input(store, b"good picture", "image/png")
    with store.open(ref.key) as stream:
        assert stream.read() == b"good picture"


def test_an_input_that_vanished_is_written_again(counting: CountingStore) -> None:
    """The store is asked each time: what a collector took comes back."""
    ref = put_input(counting, b"picture", "image/png")
    counting.delete(ref.key)
    put_input(counting, b"picture", "image/png")
    assert counting.stat(ref.key).size == 7


def test_an_old_input_is_made_young_again() -> None:
    """An input older than the reuse time is written again, so that a collector's age guard covers it."""
    now = [time.time() - REUSE_WITHIN_S - 1]
    store = CountingStore(clock=lambda: now[0])
    ref = put_input(store, b"picture", "image/png")
    now[0] = time.time()
    put_input(store, b"picture", "image/png")
    assert store.stat(ref.key).modified_at == now[0]
    assert store.puts == 2
