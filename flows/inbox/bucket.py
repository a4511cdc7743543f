"""An inbox that is an S3 prefix. Nothing can be claimed there, so that every step may be done twice.

Names of what is done follow the sheet's content; the sheet goes before its files, so that who finds a file missing
finds the sheet gone as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

from minio import Minio
from minio.commonconfig import CopySource

from flows.campaign.remote_sheet import sheet_at
from flows.inbox.drop import COMPLETE, DONE, FAILED, Drop, InboxFile, references_of
from flows.inbox.place import Claimed
from schemas.digest import sha256_hex
from schemas.errors import InvalidManifest, NotFound
from schemas.settings import Settings
from storage.objects.patience import Patience
from storage.objects.s3_client import connect, translated


class BucketInbox:
    """Drops below `prefix`."""

    def __init__(self, bucket: str, prefix: str, settings: Settings) -> None:
        self._bucket, self._prefix, self._settings = bucket, prefix, settings
        self._client: Minio = connect(
            settings.s3_endpoint,
            settings.s3_access_key.get_secret_value(),
            settings.s3_secret_key.get_secret_value(),
            settings.s3_region,
            Patience(),
        )

    @property
    def url(self) -> str:
        return "/".join(filter(None, (f"s3://{self._bucket}", self._prefix)))

    def _key(self, name: str) -> str:
        return "/".join(filter(None, (self._prefix, name)))

    def list(self) -> Sequence[InboxFile]:
        start = f"{self._prefix}/" if self._prefix else ""
        found = []
        with translated(f"listing {self.url}"):
            for entry in self._client.list_objects(self._bucket, prefix=start, recursive=True):
                name = str(entry.object_name)[len(start) :]
                if not name or name.endswith("/") or name.partition("/")[0] in (DONE, FAILED):
                    continue
                modified = entry.last_modified.timestamp() if entry.last_modified else 0.0
                stamp = f"{entry.etag}:{modified}"
                found.append(InboxFile(name=name, size=entry.size or 0, stamp=stamp, modified_at=modified))
        return sorted(found, key=lambda file: file.name)

    def read(self, file: InboxFile, limit: int) -> bytes:
        try:
            with translated(f"reading {self.url}/{file.name}"):
                answer = self._client.get_object(self._bucket, self._key(file.name))
                try:
                    return bytes(answer.read(limit))
                finally:
                    answer.close()
                    answer.release_conn()
        except NotFound:
            return b""

    @contextmanager
    def claim(self, drop: Drop, references: Sequence[str]) -> Iterator[Claimed | None]:
        del references
        try:
            with sheet_at(f"{self.url}/{drop.sheet.name}", self._settings) as place:
                mark = sha256_hex(f"{drop.sheet.name}:{drop.sheet.stamp}".encode())[:8]
                kept = f"{self.url}/{DONE}/{drop.stem}-{mark}"
                yield Claimed(drop=drop, path=place.path, base=place.base, kept_at=kept)
        except InvalidManifest:
            if self._is_there(drop):
                raise
            yield None

    def finish(self, claimed: Claimed) -> bool:
        if not self._is_there(claimed.drop):
            return False
        try:
            self._move(claimed, f"{DONE}/{PurePosixPath(claimed.kept_at).name}")
        except NotFound:
            # Another sweep moves the same bytes to the same place at this moment: it deletes the sheet only after it
            # has copied everything, so there is nothing left to move.
            if self._is_there(claimed.drop):
                raise
        return True

    def refuse(self, claimed: Claimed, reports: Mapping[str, bytes]) -> str:
        if not self._is_there(claimed.drop):
            return ""
        import io

        target = f"{FAILED}/{PurePosixPath(claimed.kept_at).name}"
        with translated(f"writing to {self.url}/{target}"):
            for name, content in reports.items():
                key = self._key(f"{target}/{name}")
                self._client.put_object(self._bucket, key, io.BytesIO(content), len(content))
        self._move(claimed, target)
        return f"{self.url}/{target}"

    def recover(self) -> int:
        return 0

    def _is_there(self, drop: Drop) -> bool:
        return any(file == drop.sheet for file in self.list())

    def _move(self, claimed: Claimed, target: str) -> None:
        """Copy all, delete the sheet, delete its files."""
        drop = claimed.drop
        everything = {file.name: file for file in self.list()}
        if drop.alone:
            named = references_of(claimed.path.read_bytes(), claimed.path.name, self._settings.limits)
            files = [str(PurePosixPath(drop.folder) / name) for name in ("campaign.toml", *named)]
        else:
            files = [name for name in everything if PurePosixPath(name).is_relative_to(drop.folder)]
        mine = [name for name in files if name in everything and name != drop.sheet.name]
        with translated(f"moving {drop.sheet.name} to {target}"):
            for name in (*mine, drop.sheet.name):
                below = str(PurePosixPath(name).relative_to(drop.folder or "."))
                if not below.endswith(COMPLETE):
                    source = CopySource(self._bucket, self._key(name))
                    self._client.copy_object(self._bucket, self._key(f"{target}/{below}"), source)
            marker = drop.sheet.name + COMPLETE
            for name in (drop.sheet.name, marker):
                self._client.remove_object(self._bucket, self._key(name))
            for name in self._not_shared(drop, mine, everything):
                self._client.remove_object(self._bucket, self._key(name))

    def _not_shared(self, drop: Drop, mine: Sequence[str], everything: Mapping[str, InboxFile]) -> Sequence[str]:
        if not drop.alone:
            return mine
        others = b"".join(
            self.read(file, self._settings.limits.manifest_bytes)
            for name, file in everything.items()
            if name != drop.sheet.name and PurePosixPath(name).suffix.lower() in (".csv", ".tsv")
        )
        kept = {name for name in mine if PurePosixPath(name).name.encode() in others}
        return [name for name in mine if name not in kept and PurePosixPath(name).name != "campaign.toml"]
