"""Fetch objects that `s3://` references name, from allow-listed buckets only, with the installation's own keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import SecretStr

from schemas.errors import InvalidSettings, NotFound
from storage.fetcher import refusals
from storage.fetcher.intake import FetchedFile, Intake
from storage.fetcher.reference import S3Reference
from storage.objects.again import BrokenOff, again
from storage.objects.patience import Patience

if TYPE_CHECKING:
    from minio import Minio


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """The S3 server and keys that references are read with."""

    endpoint: str = ""
    """`http(s)://host:port`; empty: Amazon's."""
    access_key: str
    secret_key: SecretStr
    region: str = ""
    patience: Patience = field(default_factory=Patience)

    @cached_property
    def client(self) -> Minio:
        # The S3 client takes a sixth of a second to import; most sheets do without it.
        from storage.objects.s3_client import connect

        return connect(self.endpoint, self.access_key, self.secret_key.get_secret_value(), self.region, self.patience)


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """What may be read: `bucket` or `bucket/prefix`, as `allow_buckets` makes them."""

    allowed: frozenset[tuple[str, str]]
    access: S3Access | None

    def fetch(self, text: str, reference: S3Reference, intake: Intake) -> FetchedFile:
        """Bring an object into the intake; `text` is what the sheet says.

        Raises:
            InvalidMedia: REFERENCE_HOST, REFERENCE_MISSING, REFERENCE_UNREACHABLE or REFERENCE_TOO_LARGE.
            Retryable: the S3 server is away; that is no row's fault.
        """
        if not any(reference.bucket == bucket and reference.key.startswith(prefix) for bucket, prefix in self.allowed):
            raise refusals.host(
                text,
                f"the bucket {reference.bucket[:63]!r} is not an allowed one, or not that part of it",
                "put the file beside the sheet, or have the bucket added to fetch_buckets in the settings",
            )
        if self.access is None:
            raise refusals.host(
                text,
                "no S3 server is set up to read it from",
                "set s3_endpoint, s3_access_key and s3_secret_key, or put the file beside the sheet",
            )
        access = self.access
        try:
            return again(
                lambda: _fetch(text, reference, intake, access),
                on=(BrokenOff,),
                tries=3,
                pause=access.patience.pause,
            )
        except NotFound as error:
            raise refusals.missing(text) from error
        except InvalidSettings as error:
            raise refusals.unreachable(text, error.message) from error


def allow_buckets(buckets: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Allow-list entries as pairs of bucket and key prefix; a prefix ends at a slash."""
    split = (entry.strip().removeprefix("s3://").strip("/").partition("/") for entry in buckets)
    return frozenset((bucket, f"{prefix}/" if prefix else "") for bucket, _, prefix in split if bucket)


def _fetch(text: str, reference: S3Reference, intake: Intake, access: S3Access) -> FetchedFile:
    from storage.objects.s3_client import body_stream, translated

    what = f"reading s3://{reference.bucket}/{reference.key}"
    with translated(what):
        response = access.client.get_object(reference.bucket, reference.key)
    with body_stream(response, what, access.patience) as stream:
        claimed = response.headers.get("content-length", "")
        if claimed.isascii() and claimed.isdigit():
            intake.require_fits(text, int(claimed), claimed=True)
        return intake.save(text, stream.read)
