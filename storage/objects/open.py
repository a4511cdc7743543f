"""From a store's address to the store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from schemas.errors import InvalidInput, InvalidSettings
from storage.objects.directory import DirectoryStore
from storage.objects.memory import MemoryStore
from storage.objects.protocol import ObjectStore


def open_store(
    url: str,
    *,
    endpoint: str = "",
    access_key: str = "",
    secret_key: str = "",
    region: str = "",
    create_bucket: bool = False,
) -> ObjectStore:
    """The store at `file:///folder`, `s3://bucket/prefix` or `memory:`. Nothing is asked of it yet.

    `endpoint` is `http(s)://host:port` of the S3 server, empty for Amazon's. With `create_bucket`, `check` makes a
    missing bucket. Every `memory:` is a new, empty one.

    Raises:
        InvalidSettings: the address is none of the three, or S3's settings are incomplete.
    """
    address = urlsplit(url)
    if address.scheme == "memory":
        return MemoryStore()
    if address.scheme == "file" and address.netloc in ("", "localhost") and address.path.startswith("/"):
        return DirectoryStore(Path(unquote(address.path)))
    if address.scheme == "s3" and address.netloc and "@" not in address.netloc and not address.query:
        # The S3 client takes a sixth of a second to import; a directory does without it.
        from storage.objects.s3 import S3Store

        try:
            return S3Store(
                address.netloc,
                address.path.strip("/"),
                endpoint=endpoint,
                access_key=access_key,
                secret_key=secret_key,
                region=region,
                create_bucket=create_bucket,
            )
        except InvalidSettings:
            raise
        except InvalidInput as error:
            raise InvalidSettings(f"the prefix in store_url cannot be used: {error.message}", fix=error.fix) from error
    raise InvalidSettings(
        f"store_url is {url.rpartition('@')[2]!r}, expected file:///folder or s3://bucket/prefix",
        fix="correct store_url (CALLSHEET_STORE_URL)",
    )
