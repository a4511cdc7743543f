"""An object store on any S3 server.

Only put, get, stat, list, multipart, copy, delete and presign are asked of the server; nothing conditional.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from minio import Minio
from minio.commonconfig import CopySource
from minio.datatypes import Object

from schemas.errors import InvalidInput, InvalidSettings, NotFound
from storage.objects.again import BrokenOff, again
from storage.objects.keys import check_key, check_prefix
from storage.objects.media_types import UNKNOWN, media_type_of
from storage.objects.patience import Patience
from storage.objects.probe import probe
from storage.objects.protocol import StoredObject
from storage.objects.s3_client import body_stream, connect, translated
from storage.objects.whole_file import whole_file

PART_BYTES = 8 * 2**20
"""A file above this goes up in parts of this size, three at a time."""

LONGEST_LINK_S = 7 * 24 * 3600
"""Signature version 4 allows no more."""

BROKEN_OFF_TRIES = 4


class S3Store:
    """Objects under `s3://bucket/prefix`; a key is the prefix, a slash, and the store's key.

    With `create_bucket`, `check` makes a bucket that is missing. Safe to use from several threads, not to be carried
    into another process. The keys are in no message and no repr.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str = "",
        access_key: str,
        secret_key: str,
        region: str = "",
        create_bucket: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._patience = patience or Patience()
        self._client: Minio = connect(endpoint, access_key, secret_key, region, self._patience)
        self._create_bucket = create_bucket
        self._bucket_seen = False

    def __repr__(self) -> str:
        return f"S3Store({self.url!r})"

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def put_file(self, key: str, path: Path, *, media_type: str) -> None:
        name = self._name(key)
        self._again(
            f"writing {self.public_location(key)}",
            lambda: self._client.fput_object(
                self._bucket, name, str(path), content_type=media_type, part_size=PART_BYTES
            ),
        )

    def put_bytes(self, key: str, data: bytes, *, media_type: str) -> None:
        name = self._name(key)
        self._again(
            f"writing {self.public_location(key)}",
            lambda: self._client.put_object(
                self._bucket, name, io.BytesIO(data), len(data), content_type=media_type, part_size=PART_BYTES
            ),
        )

    def open(self, key: str) -> BinaryIO:
        """The stream raises Retryable when the server breaks off; what was read so far is then worth nothing."""
        name, what = self._name(key), f"reading {self.public_location(key)}"
        with translated(what):
            response = self._client.get_object(self._bucket, name)
        return body_stream(response, what, self._patience)

    def get_file(self, key: str, path: Path) -> None:
        def fetch() -> None:
            with self.open(key) as source, whole_file(path) as target:
                shutil.copyfileobj(source, target, 1 << 20)

        self._again(f"reading {self.public_location(key)}", fetch)

    def stat(self, key: str) -> StoredObject:
        name, what = self._name(key), f"asking for {self.public_location(key)}"
        try:
            with translated(what):
                found = self._client.stat_object(self._bucket, name)
        except NotFound:
            # An answer to HEAD has no body: a missing bucket looks like a missing key.
            self._require_bucket()
            raise
        self._bucket_seen = True
        return _describe(key, found)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        with translated(f"listing {self.url}/{prefix}"):
            for found in self._client.list_objects(
                self._bucket,
                prefix=self._prefix + prefix,
                recursive=True,
                start_after=self._prefix + after if after else None,
            ):
                key = (found.object_name or "").removeprefix(self._prefix)
                if not found.is_dir and _is_ours(key) and key > after:
                    yield _describe(key, found)

    def copy(self, source: str, target: str) -> None:
        from_name, to_name = self._name(source), self._name(target)
        self._again(
            f"copying {self.public_location(source)} to {target}",
            lambda: self._client.copy_object(self._bucket, to_name, CopySource(self._bucket, from_name)),
        )

    def delete(self, key: str) -> None:
        name = self._name(key)
        try:
            self._again(f"deleting {self.public_location(key)}", lambda: self._client.remove_object(self._bucket, name))
        except NotFound:
            return

    def presign(self, key: str, *, expires_s: int) -> str:
        name = self._name(key)
        if not 1 <= expires_s <= LONGEST_LINK_S:
            raise InvalidInput(
                f"a link of {expires_s} s was asked for; S3 signs 1 to {LONGEST_LINK_S} s",
                fix="ask for at most 7 days and export again when they are over",
            )
        with translated(f"signing a link to {self.public_location(key)}"):
            return self._client.presigned_get_object(self._bucket, name, expires=timedelta(seconds=expires_s))

    def public_location(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._name(key)}"

    def check(self) -> None:
        if self._create_bucket and not self._has_bucket():
            self._make_bucket()
        self._require_bucket()
        probe(self)

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _has_bucket(self) -> bool:
        with translated(f"asking for the bucket {self._bucket}"):
            return self._client.bucket_exists(self._bucket)

    def _make_bucket(self) -> None:
        with translated(f"creating the bucket {self._bucket}"):
            self._client.make_bucket(self._bucket)

    def _require_bucket(self) -> None:
        self._bucket_seen = self._bucket_seen or self._has_bucket()
        if not self._bucket_seen:
            raise InvalidSettings(
                f"the bucket {self._bucket} does not exist", fix="create the bucket, or correct store_url"
            )

    def _again(self, what: str, act: Callable[[], object]) -> None:
        """Do it again while it breaks off half-way: a single request is repeated by the client already."""

        def act_translated() -> None:
            with translated(what):
                act()

        again(act_translated, on=(BrokenOff,), tries=BROKEN_OFF_TRIES, pause=self._patience.pause)


def _is_ours(key: str) -> bool:
    try:
        check_key(key)
    except InvalidInput:
        return False
    return True


def _describe(key: str, found: Object) -> StoredObject:
    return StoredObject(
        key=key,
        size=found.size or 0,
        modified_at=found.last_modified.timestamp() if found.last_modified else 0.0,
        media_type=found.content_type or media_type_of(key) or UNKNOWN,
    )
