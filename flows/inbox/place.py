"""The place of an inbox: a folder or an S3 prefix behind one protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from flows.inbox.drop import Drop, InboxFile
from schemas.errors import InvalidSettings
from schemas.settings import Settings
from storage.objects.layout import INBOX
from storage.places import home_folder


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A drop that is this sweep's own: the sheet as a local file, and where references start from."""

    drop: Drop
    path: Path
    base: str
    """Empty: the folder of `path`."""
    kept_at: str
    """Where sheet and files will lie once they are done."""


class InboxPlace(Protocol):
    """Two sweeps at once do no harm: a drop is claimed by one of them, or finishing it twice changes nothing."""

    @property
    def url(self) -> str: ...

    def list(self) -> Sequence[InboxFile]:
        """Every file, in order of name. Raises Retryable."""
        ...

    def read(self, file: InboxFile, limit: int) -> bytes:
        """At most `limit` bytes; empty when the file is gone. Raises Retryable."""
        ...

    def claim(self, drop: Drop, references: Sequence[str]) -> AbstractContextManager[Claimed | None]:
        """Take the drop for as long as the context lasts; None when another sweep has it.

        What is neither finished nor refused when the context ends lies in the inbox again.
        """
        ...

    def finish(self, claimed: Claimed) -> bool:
        """Move it to `done`; False when the sheet changed meanwhile and has to be taken again."""
        ...

    def refuse(self, claimed: Claimed, reports: Mapping[str, bytes]) -> str:
        """Move it to `failed` with the reports beside the sheet; where that is. Empty when it changed meanwhile."""
        ...

    def recover(self) -> int:
        """Put back what sweeps that died had taken; how many."""
        ...


def inbox_url(settings: Settings) -> str:
    """The setting; else beside the store's objects in S3; else a folder under home."""
    if settings.inbox_url:
        return settings.inbox_url.rstrip("/")
    if settings.store_url.startswith("s3://"):
        return f"{settings.store_url.rstrip('/')}/{INBOX.rstrip('/')}"
    return (home_folder(settings) / "inbox").as_uri()


def place_of(url: str) -> str:
    """The address as a person uses it: a folder's path without percent signs."""
    address = urlsplit(url)
    return unquote(address.path) if address.scheme == "file" else url


def open_inbox(settings: Settings) -> InboxPlace:
    """The installation's inbox.

    Raises:
        InvalidSettings: `inbox_url` is neither a folder nor an S3 prefix.
    """
    url = inbox_url(settings)
    address = urlsplit(url)
    if address.scheme == "file" and address.path.startswith("/"):
        from flows.inbox.folder import FolderInbox

        return FolderInbox(Path(unquote(address.path)))
    if address.scheme == "s3" and address.netloc:
        from flows.inbox.bucket import BucketInbox

        return BucketInbox(address.netloc, address.path.strip("/"), settings)
    raise InvalidSettings(
        f"inbox_url is {url.rpartition('@')[2]!r}, expected file:///folder or s3://bucket/prefix",
        fix="correct CALLSHEET_INBOX_URL",
    )
