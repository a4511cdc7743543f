"""The one door through which strangers' files come in."""

from __future__ import annotations

import copy
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from schemas.settings import Settings
from storage.fetcher import refusals
from storage.fetcher.addresses import IPAddress, is_public
from storage.fetcher.base import S3Prefix, parse_base
from storage.fetcher.buckets import Buckets, S3Access, allow_buckets
from storage.fetcher.https import HttpsHosts
from storage.fetcher.intake import FetchedFile, Intake
from storage.fetcher.local import LocalFolder
from storage.fetcher.names import Resolver, allow_hosts, resolve
from storage.fetcher.reference import LocalReference, S3Reference, parse_reference
from storage.objects.layout import INBOX


@dataclass
class _Brought:
    """What one reference brought; the lock is held while it is brought."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    file: FetchedFile | None = None


class Fetcher:
    """Brings references into private files under `scratch`, within limits. Safe to use from several threads.

    `root` is the folder that relative references start from, None where there is none; `roots` are further folders
    that a base may lie in. `hosts` and `buckets` are allow-lists; empty ones allow nothing. `timeout_s` bounds one
    fetch over https as a whole. `resolver`, `is_allowed` and `tls` are the network as it is, unless a test says
    otherwise.

    Raises:
        InvalidSettings: an entry of `hosts` is no host.
    """

    def __init__(
        self,
        *,
        scratch: Path,
        root: Path | None = None,
        roots: Sequence[Path] = (),
        hosts: Iterable[str] = (),
        buckets: Iterable[str] = (),
        s3_access: S3Access | None = None,
        timeout_s: float = 30.0,
        resolver: Resolver = resolve,
        is_allowed: Callable[[IPAddress], bool] = is_public,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._scratch = scratch
        self._roots = (*((root,) if root else ()), *roots)
        self._start: LocalFolder | S3Prefix | None = LocalFolder(root=root) if root else None
        self._buckets = Buckets(allowed=allow_buckets(buckets), access=s3_access)
        self._hosts = HttpsHosts(
            hosts=allow_hosts(hosts), timeout_s=timeout_s, resolver=resolver, is_allowed=is_allowed, tls=tls
        )
        self._lock = threading.Lock()
        self._brought: dict[tuple[str, int], _Brought] = {}

    def for_base(self, base: str) -> Self:
        """A fetcher whose relative references start from `base`: a folder or an `s3://` prefix; empty: this one.

        A base comes from the sheet and is believed no more than the sheet is: a folder has to lie inside `root` or
        one of `roots`, a prefix inside an allowed bucket.

        Raises:
            InvalidMedia: REFERENCE_OUTSIDE_ROOT for any other folder, REFERENCE_SCHEME for what is neither.
        """
        if not base.strip():
            return self
        other = copy.copy(self)
        other._start = parse_base(base, self._roots)
        other._lock, other._brought = threading.Lock(), {}
        return other

    def fetch(self, reference: str, *, kind: str, max_bytes: int) -> FetchedFile:
        """A private copy of what `reference` names; asked again while that copy is there, the same copy.

        `kind` ("image" or "audio") is what messages call it.

        Raises:
            InvalidMedia: with one of the REFERENCE_ codes; the caller knows row, line and column.
            Retryable: the S3 server is away, which is no row's fault.
        """
        with self._lock:
            brought = self._brought.setdefault((reference, max_bytes), _Brought())
        with brought.lock:
            if brought.file is None or not brought.file.path.exists():
                brought.file = self._bring(reference, Intake(scratch=self._scratch, max_bytes=max_bytes, kind=kind))
            return brought.file

    def _bring(self, text: str, intake: Intake) -> FetchedFile:
        reference = parse_reference(text)
        if isinstance(reference, LocalReference):
            return self._bring_relative(text, reference, intake)
        if isinstance(reference, S3Reference):
            return self._buckets.fetch(text, reference, intake)
        return self._hosts.fetch(text, reference, intake)

    def _bring_relative(self, text: str, reference: LocalReference, intake: Intake) -> FetchedFile:
        if self._start is None:
            raise refusals.outside_root(text, "this sheet has no folder that references could start from")
        if isinstance(self._start, S3Prefix):
            return self._buckets.fetch(text, self._start.below(reference.parts), intake)
        return self._start.fetch(text, reference.parts, intake)


def make_fetcher(settings: Settings, *, root: Path | None, scratch: Path, roots: Sequence[Path] = ()) -> Fetcher:
    """The fetcher of an installation, for a sheet that lies in `root`; `roots` are folders that its rows'
    `_base` may name besides.

    Raises:
        InvalidSettings: `fetch_hosts` holds what is no host.
    """
    has_keys = bool(settings.s3_access_key.get_secret_value() and settings.s3_secret_key.get_secret_value())
    access = S3Access(
        endpoint=settings.s3_endpoint,
        access_key=settings.s3_access_key.get_secret_value(),
        secret_key=settings.s3_secret_key,
        region=settings.s3_region,
    )
    return Fetcher(
        scratch=scratch,
        root=root,
        roots=roots,
        hosts=settings.fetch_hosts,
        buckets=(*settings.fetch_buckets, *_inbox(settings)),
        s3_access=access if has_keys else None,
        timeout_s=settings.limits.fetch_timeout_s,
    )


def _inbox(settings: Settings) -> tuple[str, ...]:
    """The inbox, where it is in S3: its own address, or the one in the store."""
    if settings.inbox_url:
        return (f"{settings.inbox_url.rstrip('/')}/",) if settings.inbox_url.startswith("s3://") else ()
    return (f"{settings.store_url.rstrip('/')}/{INBOX}",) if settings.store_url.startswith("s3://") else ()
