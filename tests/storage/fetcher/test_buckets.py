"""Objects that references name."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas.errors import InvalidMedia, Retryable
from schemas.problem import Code
from schemas.settings import Settings
from storage.fetcher import Fetcher, S3Access, make_fetcher
from storage.objects.patience import Patience
from tests.support.s3 import S3Server
from tests.support.s3_proxy import cut_after, proxy_to

CAP = 1_000
HASTY = Patience(attempts=3, base_s=0.02, cap_s=0.1, connect_s=0.4, read_s=0.4, request_s=1.0)


def _access(server: S3Server) -> S3Access:
    return S3Access(
        endpoint=server.endpoint,
        access_key=server.access_key,
        secret_key=SecretStr(server.secret_key),
        patience=HASTY,
    )


def _put(server: S3Server, key: str, data: bytes) -> str:
    server.client.put_object(server.bucket, key, io.BytesIO(data), len(data))
    return f"s3://{server.bucket}/{key}"


def _code(fetcher: Fetcher, reference: str) -> Code:
    with pytest.raises(InvalidMedia) as caught:
        fetcher.fetch(reference, kind="audio", max_bytes=CAP)
    return caught.value.code


def test_an_object_of_an_allowed_bucket_is_fetched(rclone_s3: S3Server, scratch: Path) -> None:
    """Any key that S3 allows, not only the store's own."""
    prefix = rclone_s3.new_prefix()
    fetcher = Fetcher(scratch=scratch, buckets=[rclone_s3.bucket], s3_access=_access(rclone_s3))
    for key in (f"{prefix}/a b+c%20ä.wav", f"{prefix}/{'x' * 100}"):
        assert fetcher.fetch(_put(rclone_s3, key, b"speech"), kind="audio", max_bytes=CAP).size == 6
    based = fetcher.for_base(f"s3://{rclone_s3.bucket}/{prefix}/")
    assert based.fetch("a b+c%20ä.wav", kind="audio", max_bytes=CAP).path.read_bytes() == b"speech"


def test_limits_hold_for_objects(rclone_s3: S3Server, scratch: Path) -> None:
    """Missing, too large, not a file, outside of the allowed part: each has its code, and nothing is left."""
    prefix = rclone_s3.new_prefix()
    large = _put(rclone_s3, f"{prefix}/large", b"x" * (CAP + 1))
    other = _put(rclone_s3, f"{prefix}-other/a", b"x")
    fetcher = Fetcher(scratch=scratch, buckets=[f"{rclone_s3.bucket}/{prefix}"], s3_access=_access(rclone_s3))
    assert _code(fetcher, large) is Code.REFERENCE_TOO_LARGE
    assert _code(fetcher, f"s3://{rclone_s3.bucket}/{prefix}/none") is Code.REFERENCE_MISSING
    assert _code(fetcher, f"s3://{rclone_s3.bucket}/{prefix}/") is Code.REFERENCE_NOT_A_FILE
    assert _code(fetcher, other) is Code.REFERENCE_HOST
    assert not scratch.exists() or list(scratch.iterdir()) == []


def test_a_refusing_server_is_unreachable_without_the_keys(rclone_s3: S3Server, scratch: Path) -> None:
    """Keys that may not read it are told in the row's problem, secrets are not."""
    reference = _put(rclone_s3, f"{rclone_s3.new_prefix()}/a", b"x")
    access = S3Access(
        endpoint=rclone_s3.endpoint, access_key=rclone_s3.access_key, secret_key=SecretStr("SECRETcanary")
    )
    fetcher = Fetcher(scratch=scratch, buckets=[rclone_s3.bucket], s3_access=access)
    with pytest.raises(InvalidMedia) as caught:
        fetcher.fetch(reference, kind="audio", max_bytes=CAP)
    assert caught.value.code is Code.REFERENCE_UNREACHABLE
    assert "SECRETcanary" not in f"{caught.value}{caught.value.__cause__}{access!r}"


def test_a_server_that_is_away_is_no_rows_fault(scratch: Path) -> None:
    """Ten thousand rows are not called bad because the store had a bad minute."""
    away = S3Server(name="away", endpoint="http://127.0.0.1:1", access_key="k", secret_key="s")
    fetcher = Fetcher(scratch=scratch, buckets=["bucket"], s3_access=_access(away))
    started = time.monotonic()
    with pytest.raises(Retryable, match="cannot be connected to"):
        fetcher.fetch("s3://bucket/a", kind="audio", max_bytes=CAP)
    assert time.monotonic() - started < 2


def test_a_broken_transfer_is_fetched_again(rclone_s3: S3Server, scratch: Path) -> None:
    """One truncated body is mended; nothing of it is left."""
    reference = _put(rclone_s3, f"{rclone_s3.new_prefix()}/a", b"x" * CAP)
    with proxy_to(rclone_s3) as proxy:
        proxy.faults(cut_after(10))
        fetcher = Fetcher(scratch=scratch, buckets=[rclone_s3.bucket], s3_access=_access(proxy.server))
        assert fetcher.fetch(reference, kind="audio", max_bytes=CAP).size == CAP
    assert len(list(scratch.iterdir())) == 1


def test_an_installation_reads_its_own_inbox(rclone_s3: S3Server, scratch: Path) -> None:
    """Settings make a fetcher whose own store's inbox is allowed, and nothing else of the store."""
    prefix = rclone_s3.new_prefix()
    settings = Settings(
        store_url=f"s3://{rclone_s3.bucket}/{prefix}",
        s3_endpoint=rclone_s3.endpoint,
        s3_access_key=SecretStr(rclone_s3.access_key),
        s3_secret_key=SecretStr(rclone_s3.secret_key),
    )
    inbox = _put(rclone_s3, f"{prefix}/inbox/march/a.wav", b"speech")
    clip = _put(rclone_s3, f"{prefix}/clips/a.mp4", b"film")
    fetcher = make_fetcher(settings, root=None, scratch=scratch)
    assert fetcher.fetch(inbox, kind="audio", max_bytes=CAP).size == 6
    assert _code(fetcher, clip) is Code.REFERENCE_HOST


def test_without_keys_objects_are_refused(scratch: Path) -> None:
    """An installation without S3 says so for the row."""
    fetcher = make_fetcher(Settings(fetch_buckets=("bucket",)), root=None, scratch=scratch)
    assert _code(fetcher, "s3://bucket/a") is Code.REFERENCE_HOST
