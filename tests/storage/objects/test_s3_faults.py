"""An S3 server that is busy, breaks off, hangs, lies or refuses: what the store makes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import CallsheetError, Corrupted, InvalidSettings, NotFound, Retryable
from storage.objects.patience import Patience
from storage.objects.s3 import S3Store
from storage.objects.verified import get_verified, put_verified
from tests.support.s3 import S3Server
from tests.support.s3_proxy import (
    BUSY,
    FINE,
    FLIPPED,
    HANG,
    LOST_ANSWER,
    RESET,
    Fault,
    Proxy,
    cut_after,
    proxy_to,
)
from tests.support.tls_server import Authority

KEY = "clips/ab/abcd/1-x.mp4"
BIG = bytes(range(256)) * (20 * 4096)  # 20 MiB: three parts
HASTY = Patience(attempts=20, base_s=0.02, cap_s=0.1, connect_s=0.4, read_s=0.4, request_s=1.0)


@pytest.fixture
def proxy(rclone_s3: S3Server) -> Iterator[Proxy]:
    with proxy_to(rclone_s3) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: Proxy) -> S3Store:
    return proxy.server.store()


def _read(store: S3Store) -> bytes:
    with store.open(KEY) as stream:
        return stream.read()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(proxy: Proxy, store: S3Store, status: int) -> None:
    """A burst of refusals that say nothing about the request is sat out."""
    busy = Fault(status=status)
    proxy.faults(busy, busy)
    store.put_bytes(KEY, b"film", media_type="video/mp4")
    proxy.faults(busy, busy, busy)
    assert _read(store) == b"film"


def test_a_broken_page_of_a_proxy_is_sat_out(proxy: Proxy, store: S3Store) -> None:
    """A 502 in HTML is as busy as one in XML."""
    proxy.faults(Fault(status=502, body=b"<html>bad gateway", headers=(("Content-Type", "text/html"),)))
    store.put_bytes(KEY, b"film", media_type="video/mp4")
    assert _read(store) == b"film"


def test_every_part_has_its_own_patience(proxy: Proxy, store: S3Store) -> None:
    """A large upload whose every part is refused once goes through, each part sent again alone."""
    refused: set[str] = set()

    def refuse_once(method: str, path: str, count: int) -> Fault:
        if method != "PUT" or path in refused:
            return FINE
        refused.add(path)
        return BUSY

    proxy.script = refuse_once
    store.put_bytes(KEY, BIG, media_type="video/mp4")
    assert len(refused) == 3
    assert len([line for line in proxy.seen if line.startswith("PUT")]) == 6
    assert _read(store) == BIG


def test_the_budget_ends(proxy: Proxy, store: S3Store) -> None:
    """A server that stays busy is given up after the attempts that were agreed, with a message for a person."""
    proxy.faults(*[BUSY] * 50)
    with pytest.raises(Retryable, match=r"answered 503 .4 attempts") as caught:
        store.put_bytes(KEY, b"film", media_type="video/mp4")
    assert len(proxy.seen) == 4
    assert "s3_endpoint" in caught.value.fix


def test_a_wish_to_wait_is_granted(proxy: Proxy, store: S3Store) -> None:
    """Retry-After in seconds is waited for."""
    proxy.faults(Fault(status=503, headers=(("Content-Type", "application/xml"), ("Retry-After", "1"))))
    started = time.monotonic()
    store.put_bytes(KEY, b"film", media_type="video/mp4")
    assert 1.0 <= time.monotonic() - started < 3.0


def test_a_wish_beyond_the_budget_is_not(proxy: Proxy) -> None:
    """A server that wants more time than there is is given up at once."""
    store = proxy.server.store(patience=HASTY)
    proxy.faults(Fault(status=503, headers=(("Content-Type", "application/xml"), ("Retry-After", "3600"))))
    started = time.monotonic()
    with pytest.raises(Retryable, match="503"):
        store.put_bytes(KEY, b"film", media_type="video/mp4")
    assert time.monotonic() - started < 1.0


@pytest.mark.parametrize("fault", [RESET, LOST_ANSWER], ids=["before", "after the server did it"])
def test_a_reset_connection_is_made_again(proxy: Proxy, store: S3Store, fault: Fault) -> None:
    """An upload whose answer is lost is done again; the same bytes under the same key harm nobody."""
    proxy.faults(fault, fault)
    store.put_bytes(KEY, b"film", media_type="video/mp4")
    proxy.faults(fault)
    assert _read(store) == b"film"
    proxy.faults(fault)
    store.delete(KEY)
    with pytest.raises(NotFound):
        store.stat(KEY)


@pytest.mark.parametrize("verb", ["put", "open", "stat", "list", "delete"])
def test_a_hanging_server_holds_nobody(proxy: Proxy, verb: str) -> None:
    """A server that takes the request and says nothing costs no more than the request's deadline."""
    store = proxy.server.store(patience=HASTY)
    proxy.faults(*[HANG] * 50)
    verbs = {
        "put": lambda: store.put_bytes(KEY, b"film", media_type="video/mp4"),
        "open": lambda: store.open(KEY),
        "stat": lambda: store.stat(KEY),
        "list": lambda: list(store.list()),
        "delete": lambda: store.delete(KEY),
    }
    started = time.monotonic()
    with pytest.raises(Retryable, match="did not answer in time"):
        verbs[verb]()
    assert time.monotonic() - started < HASTY.request_s + 0.7


def test_nobody_at_home() -> None:
    """A refused connection is Retryable, within the deadline."""
    away = S3Server(name="away", endpoint="http://127.0.0.1:1", access_key="k", secret_key="s")
    with pytest.raises(Retryable, match=r"127\.0\.0\.1:1 cannot be connected to"):
        away.store(patience=HASTY).check()


def test_a_truncated_download_is_noticed_and_done_again(proxy: Proxy, store: S3Store, tmp_path: Path) -> None:
    """`open` tells of a body that ends early; `get_file` fetches again and leaves a whole file or none."""
    store.put_bytes(KEY, BIG, media_type="video/mp4")
    proxy.faults(cut_after(1_000_000))
    with pytest.raises(Retryable, match="broke off"):
        _read(store)
    proxy.faults(cut_after(1_000_000), cut_after(0))
    store.get_file(KEY, tmp_path / "film")
    assert (tmp_path / "film").read_bytes() == BIG
    proxy.faults(*[cut_after(1_000_000)] * 50)
    with pytest.raises(Retryable, match="broke off"):
        store.get_file(KEY, tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["film"]


def test_wrong_bytes_on_the_way_back_are_corrupted(proxy: Proxy, store: S3Store, tmp_path: Path) -> None:
    """An upload that never reads back right is refused, and nothing is left under its key."""
    film = tmp_path / "film"
    film.write_bytes(BIG)
    proxy.faults_on("GET", *[FLIPPED] * 50)
    with pytest.raises(Corrupted, match="SHA-256"):
        put_verified(store, KEY, film, media_type="video/mp4")
    with pytest.raises(NotFound):
        store.stat(KEY)


def test_one_wrong_read_back_is_mended(proxy: Proxy, store: S3Store, tmp_path: Path) -> None:
    """What read back wrong once is written again and acknowledged when it reads back right."""
    film = tmp_path / "film"
    film.write_bytes(b"film" * 1000)
    proxy.faults_on("GET", FLIPPED)
    ref = put_verified(store, KEY, film, media_type="video/mp4")
    assert ref.size == 4000
    assert len([line for line in proxy.seen if line.startswith("PUT")]) == 2


def test_wrong_bytes_in_the_store_are_corrupted(
    rclone_s3: S3Server, proxy: Proxy, store: S3Store, tmp_path: Path
) -> None:
    """A download of an object that changed in the store leaves no file."""
    film = tmp_path / "film"
    film.write_bytes(b"film" * 1000)
    ref = put_verified(store, KEY, film, media_type="video/mp4")
    assert rclone_s3.folder is not None
    (rclone_s3.folder / store.public_location(KEY).removeprefix("s3://")).write_bytes(b"Film" * 1000)
    with pytest.raises(Corrupted, match="SHA-256"):
        get_verified(store, ref, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_wrong_secret_is_a_setting(rclone_s3: S3Server) -> None:
    """Wrong keys are told as such, at once, without the keys."""
    secret = "SECRETcanary0123456789"
    store = S3Store(rclone_s3.bucket, endpoint=rclone_s3.endpoint, access_key=rclone_s3.access_key, secret_key=secret)
    started = time.monotonic()
    for attempt in (
        lambda: store.put_bytes(KEY, b"x", media_type="video/mp4"),
        lambda: store.open(KEY),
        lambda: store.stat(KEY),
        store.check,
    ):
        with pytest.raises(InvalidSettings) as caught:
            attempt()
        assert "key" in caught.value.fix
        assert secret not in f"{caught.value} {caught.value!r} {caught.value.__cause__} {store!r} {store.url}"
    assert time.monotonic() - started < 2.0


def test_a_missing_bucket_is_a_setting(rclone_s3: S3Server) -> None:
    """Every verb tells a missing bucket from a missing object, HEAD included."""
    lost = S3Server(**{**rclone_s3.__dict__, "bucket": "no-such-bucket"})
    store = lost.store()
    for attempt in (
        lambda: store.put_bytes(KEY, b"x", media_type="video/mp4"),
        lambda: store.open(KEY),
        lambda: store.stat(KEY),
        lambda: list(store.list()),
        store.check,
    ):
        with pytest.raises(InvalidSettings, match="no-such-bucket"):
            attempt()


@pytest.mark.parametrize("kind", ["rclone", pytest.param("radosgw", marks=pytest.mark.radosgw)])
def test_a_missing_bucket_is_made_when_that_is_allowed(kind: str, request: pytest.FixtureRequest) -> None:
    """With `create_bucket`, `check` makes the bucket; a second one finds it."""
    server: S3Server = request.getfixturevalue(f"{kind}_s3")
    store = S3Store(
        f"new-{server.new_prefix()}",
        endpoint=server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        create_bucket=True,
    )
    store.check()
    store.check()
    store.put_bytes(KEY, b"film", media_type="video/mp4")
    assert _read(store) == b"film"


def test_what_does_not_speak_s3_is_a_setting(proxy: Proxy, store: S3Store) -> None:
    """A web page in place of an answer is told as such."""
    page = Fault(status=404, body=b"<html>not found", headers=(("Content-Type", "text/html"),))
    proxy.faults(page)
    with pytest.raises(InvalidSettings, match="does not speak S3"):
        store.open(KEY)


def test_a_redirect_is_not_followed(proxy: Proxy, store: S3Store) -> None:
    """Signed requests go nowhere but to the endpoint."""
    proxy.faults(Fault(status=307, headers=(("Location", proxy.server.endpoint + "/elsewhere"),)))
    with pytest.raises(CallsheetError):
        store.open(KEY)
    assert len(proxy.seen) == 1


def test_a_trusted_certificate_is_spoken_to(
    rclone_s3: S3Server, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over https a private authority is trusted when SSL_CERT_FILE names it, and large files pass."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.authority))
    with proxy_to(rclone_s3, tls=authority.server_context()) as proxy:
        store = proxy.server.store()
        proxy.faults(BUSY, RESET)
        store.put_bytes(KEY, BIG, media_type="video/mp4")
        assert _read(store) == BIG


def test_an_untrusted_certificate_is_a_setting(rclone_s3: S3Server, authority: Authority) -> None:
    """Nothing is sent, and nothing is tried again, where the certificate does not hold."""
    with proxy_to(rclone_s3, tls=authority.server_context()) as proxy:
        with pytest.raises(InvalidSettings, match="no trusted connection") as caught:
            proxy.server.store().put_bytes(KEY, b"film", media_type="video/mp4")
        assert "SSL_CERT_FILE" in caught.value.fix
        assert proxy.seen == []
