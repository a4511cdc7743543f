"""What every object store does; one suite for all of them."""

from __future__ import annotations

import threading
import time
import urllib.request
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import InvalidInput, NotFound, Refused
from storage.objects.protocol import ObjectStore

KEY = "clips/ab/abcd/1-x.mp4"
BIG = bytes(range(256)) * (20 * 4096)  # 20 MiB: three parts on S3

UNLAWFUL_KEYS = [
    "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", "a b", "a\\b", "a\0b", "ä", "a\n",
    "a:b", "~", "@parts/x", "%2e%2e/a", "a/" + "x" * 251, "/".join(["x"] * 460),
]  # fmt: skip


def _read(store: ObjectStore, key: str) -> bytes:
    with store.open(key) as stream:
        return stream.read()


def test_bytes_come_back_as_they_were_put(store: ObjectStore) -> None:
    """What is put is what is read."""
    store.put_bytes(KEY, b"hello", media_type="video/mp4")
    assert _read(store, KEY) == b"hello"


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    """Nothing is a content too."""
    store.put_bytes(KEY, b"", media_type="video/mp4")
    assert _read(store, KEY) == b""
    assert store.stat(KEY).size == 0


def test_a_large_file_goes_up_and_comes_down(store: ObjectStore, tmp_path: Path) -> None:
    """A file of several parts comes back whole, and `get_file` makes the folder it needs."""
    source, target = tmp_path / "source", tmp_path / "new" / "target"
    source.write_bytes(BIG)
    store.put_file(KEY, source, media_type="video/mp4")
    store.get_file(KEY, target)
    assert target.read_bytes() == BIG
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_stream_is_read_in_pieces(store: ObjectStore) -> None:
    """`open` gives a stream that is read as far as one likes, and closed."""
    store.put_bytes(KEY, BIG, media_type="video/mp4")
    with store.open(KEY) as stream:
        assert stream.read(300_000) == BIG[:300_000]
        assert stream.read(5) == BIG[300_000:300_005]
    assert stream.closed
    assert _read(store, KEY) == BIG


def test_stat_tells_size_time_and_type(store: ObjectStore) -> None:
    """Size in bytes, time in seconds since the epoch, and the media type that was given."""
    before = time.time()
    store.put_bytes("inputs/ab/abcd", b"12345", media_type="audio/flac")
    found = store.stat("inputs/ab/abcd")
    assert (found.key, found.size, found.media_type) == ("inputs/ab/abcd", 5, "audio/flac")
    assert before - 2 <= found.modified_at <= time.time() + 2


def test_writing_again_replaces_content_and_type(store: ObjectStore) -> None:
    """The last writer wins, with its media type, whether a suffix tells it or not."""
    store.put_bytes("reports/c/a.html", b"one", media_type="text/plain")
    store.put_bytes("reports/c/a.html", b"second", media_type="text/html")
    assert _read(store, "reports/c/a.html") == b"second"
    assert store.stat("reports/c/a.html").media_type == "text/html"


def test_a_missing_key_is_not_found(store: ObjectStore, tmp_path: Path) -> None:
    """Reading, asking for and copying what is not there raises NotFound; nothing is left at the target."""
    store.put_bytes("clips/there", b"x", media_type="video/mp4")
    for attempt in (
        lambda: store.open("clips/not/there"),
        lambda: store.stat("clips/not/there"),
        lambda: store.get_file("clips/not/there", tmp_path / "target"),
        lambda: store.copy("clips/not/there", "clips/target"),
        lambda: store.stat("clips"),
        lambda: store.stat("clips/there/below"),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert list(tmp_path.glob("*target*")) == []


def test_deleting_is_idempotent(store: ObjectStore) -> None:
    """What was deleted is gone; what never was can be deleted."""
    store.put_bytes("inputs/ab/abcd", b"x", media_type="audio/flac")
    store.delete("inputs/ab/abcd")
    store.delete("inputs/ab/abcd")
    store.delete("never/was")
    with pytest.raises(NotFound):
        store.stat("inputs/ab/abcd")
    assert list(store.list()) == []


def test_a_copy_is_independent(store: ObjectStore) -> None:
    """A copy has content and type of its source and outlives it."""
    store.put_bytes("inputs/ab/abcd", b"speech", media_type="audio/flac")
    store.copy("inputs/ab/abcd", "inputs/cd/cdef")
    store.delete("inputs/ab/abcd")
    assert _read(store, "inputs/cd/cdef") == b"speech"
    assert store.stat("inputs/cd/cdef").media_type == "audio/flac"


def test_listing_is_in_key_order(store: ObjectStore) -> None:
    """Keys come in code point order, where '-' < '.' < '/' < '0', with sizes; prefix and `after` cut the list."""
    keys = ["a", "b-x", "b.x", "b/c", "b/c.d/e", "b/c0", "b0", "c/d/e/f"]
    for number, key in enumerate(reversed(keys)):
        store.put_bytes(key, b"x" * number, media_type="video/mp4")
    assert [found.key for found in store.list()] == sorted(keys) == keys
    assert [found.size for found in store.list()] == list(reversed(range(len(keys))))
    assert [found.key for found in store.list("b/")] == ["b/c", "b/c.d/e", "b/c0"]
    assert [found.key for found in store.list("b")] == keys[1:7]
    assert [found.key for found in store.list(after="b/c")] == ["b/c.d/e", "b/c0", "b0", "c/d/e/f"]
    assert [found.key for found in store.list("b/", after="b/c.d/e")] == ["b/c0"]
    assert list(store.list("b/", after="c")) == []
    assert list(store.list("nothing/")) == []


def test_listing_passes_page_borders(store: ObjectStore) -> None:
    """More than a thousand objects, S3's page, are listed completely and once."""
    keys = [f"clips/{number:04d}" for number in range(1_010)]
    _put_in_threads(store, keys)
    assert [found.key for found in store.list("clips/")] == keys
    assert [found.key for found in store.list("clips/", after="clips/1004")] == keys[1_005:]


def _put_in_threads(store: ObjectStore, keys: list[str]) -> None:
    def put(mine: list[str]) -> None:
        for key in mine:
            store.put_bytes(key, b"", media_type="application/octet-stream")

    threads = [threading.Thread(target=put, args=(keys[start::8],)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("key", UNLAWFUL_KEYS, ids=repr)
def test_an_unlawful_key_is_refused_everywhere(store: ObjectStore, key: str, tmp_path: Path) -> None:
    """No verb takes a key that is not made of plain parts."""
    source = tmp_path / "source"
    source.write_bytes(b"x")
    for attempt in (
        lambda: store.put_bytes(key, b"x", media_type="video/mp4"),
        lambda: store.put_file(key, source, media_type="video/mp4"),
        lambda: store.open(key),
        lambda: store.get_file(key, tmp_path / "target"),
        lambda: store.stat(key),
        lambda: store.copy(key, "a"),
        lambda: store.copy("a", key),
        lambda: store.delete(key),
        lambda: store.presign(key, expires_s=60),
        lambda: store.public_location(key),
    ):
        with pytest.raises(InvalidInput, match="key"):
            attempt()


@pytest.mark.parametrize("prefix", ["/", "../", "a/../", "a//", "ä", "a b"], ids=repr)
def test_an_unlawful_prefix_is_refused(store: ObjectStore, prefix: str) -> None:
    """No key begins so, hence nobody means it."""
    with pytest.raises(InvalidInput, match="key"):
        list(store.list(prefix))


def test_readers_never_see_half_an_object(store: ObjectStore) -> None:
    """While one thread replaces an object again and again, every read gives one of the contents whole."""
    contents = [bytes([65 + number]) * 400_000 for number in range(2)]
    store.put_bytes(KEY, contents[0], media_type="video/mp4")
    ended = threading.Event()

    def write() -> None:
        for number in range(24):
            store.put_bytes(KEY, contents[number % 2], media_type="video/mp4")
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = {_read(store, KEY)}
    while not ended.is_set():
        seen.add(_read(store, KEY))
    writer.join()
    assert seen <= set(contents)


def test_a_missing_local_file_is_the_callers_error(store: ObjectStore, tmp_path: Path) -> None:
    """Putting a file that is not there raises FileNotFoundError and writes nothing."""
    with pytest.raises(FileNotFoundError):
        store.put_file(KEY, tmp_path / "nothing", media_type="video/mp4")
    with pytest.raises(NotFound):
        store.stat(KEY)


def test_check_leaves_nothing(store: ObjectStore) -> None:
    """The probe of a store that works raises nothing and is gone afterwards."""
    store.check()
    assert list(store.list()) == []


def test_a_link_works_without_credentials_or_is_refused(store: ObjectStore) -> None:
    """S3 signs links that anybody can follow; other stores say that they have none."""
    store.put_bytes(KEY, b"film", media_type="video/mp4")
    if not store.url.startswith("s3:"):
        with pytest.raises(Refused, match="credentials"):
            store.presign(KEY, expires_s=60)
        return
    with urllib.request.urlopen(store.presign(KEY, expires_s=60), timeout=10) as answer:
        assert answer.read() == b"film"


def test_addresses_are_spoken_without_secrets(store: ObjectStore) -> None:
    """The store's address begins the object's, but for a directory, whose objects have paths."""
    location = store.public_location(KEY)
    assert location.endswith(KEY)
    assert location.startswith(store.url.removeprefix("file://"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.text("abz09AZ._-", min_size=1, max_size=12), min_size=1, max_size=5),
    data=st.binary(max_size=2_000),
)
def test_any_lawful_key_holds_any_bytes(store: ObjectStore, parts: list[str], data: bytes) -> None:
    """Whatever the key's parts and the bytes are, they come back and are listed under that key."""
    key = "/".join(("x", *(part if part.strip(".") else "dots" for part in parts), "end"))
    for found in list(store.list()):
        store.delete(found.key)
    store.put_bytes(key, data, media_type="application/octet-stream")
    assert _read(store, key) == data
    assert [(found.key, found.size) for found in store.list()] == [(key, len(data))]
