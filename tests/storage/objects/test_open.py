"""From an address to a store."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import InvalidSettings
from storage.objects.open import open_store
from tests.support.s3 import S3Server

KEYS = {"access_key": "key", "secret_key": "SECRETcanary"}


def test_a_file_address_is_a_folder(tmp_path: Path) -> None:
    """`file://` with a percent-encoded path opens that folder, which need not exist."""
    folder = tmp_path / "a folder ä"
    store = open_store(folder.as_uri())
    store.put_bytes("clips/a", b"x", media_type="video/mp4")
    assert (folder / "clips" / "a").read_bytes() == b"x"
    assert store.url == folder.as_uri()


def test_a_memory_address_is_a_new_store() -> None:
    """Two of them share nothing."""
    first, second = open_store("memory:"), open_store("memory:")
    first.put_bytes("clips/a", b"x", media_type="video/mp4")
    assert list(second.list()) == []
    assert first.url != second.url


def test_an_s3_address_is_bucket_and_prefix(rclone_s3: S3Server) -> None:
    """The prefix is put before every key and stays outside of what the store sees."""
    prefix = f"{rclone_s3.new_prefix()}/deep"
    store = open_store(
        f"s3://{rclone_s3.bucket}/{prefix}/",
        endpoint=rclone_s3.endpoint,
        access_key=rclone_s3.access_key,
        secret_key=rclone_s3.secret_key,
    )
    rclone_s3.client.put_object(rclone_s3.bucket, f"{prefix}er/else", io.BytesIO(b""), 0)
    store.put_bytes("clips/a", b"x", media_type="video/mp4")
    assert store.url == f"s3://{rclone_s3.bucket}/{prefix}"
    assert [found.key for found in store.list()] == ["clips/a"]
    with rclone_s3.client.get_object(rclone_s3.bucket, f"{prefix}/clips/a") as answer:
        assert answer.read() == b"x"


@pytest.mark.parametrize(
    ("url", "settings", "named"),
    [
        ("", {}, "store_url"),
        ("/folder", {}, "store_url"),
        ("http://host/x", {}, "store_url"),
        ("file://host/x", {}, "store_url"),
        ("file:relative", {}, "store_url"),
        ("s3:bucket", KEYS, "store_url"),
        ("s3:///prefix", KEYS, "store_url"),
        ("s3://user:SECRETcanary@bucket", KEYS, "store_url"),
        ("s3://bucket/pre fix", KEYS, "prefix"),
        ("s3://bucket/../x", KEYS, "prefix"),
        ("s3://bucket", {}, "s3_access_key"),
        ("s3://bucket", {"access_key": "key"}, "s3_secret_key"),
        ("s3://bucket", {**KEYS, "endpoint": "host:9000"}, "s3_endpoint"),
        ("s3://bucket", {**KEYS, "endpoint": "http://host:9000/path"}, "s3_endpoint"),
        ("s3://bucket", {**KEYS, "endpoint": "http://u:SECRETcanary@host"}, "s3_endpoint"),
        ("s3://bucket", {**KEYS, "endpoint": "http://host:port"}, "s3_endpoint"),
    ],
)
def test_an_impossible_address_is_a_setting(url: str, settings: dict[str, str], named: str) -> None:
    """What cannot be opened names the setting to mend, and no secret."""
    with pytest.raises(InvalidSettings) as caught:
        open_store(url, **settings)
    assert named in str(caught.value)
    assert "SECRETcanary" not in f"{caught.value}{caught.value!r}"
    assert caught.value.fix


def test_a_folder_needs_no_s3_client() -> None:
    """Opening a directory imports no HTTP library: the command line starts fast."""
    script = (
        "import sys; from storage.objects.open import open_store; open_store('file:///nowhere');"
        "print([name for name in ('minio', 'urllib3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
