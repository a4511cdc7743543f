"""Where a sheet's relative references start from, when the sheet says so itself (`_base`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from schemas.errors import InvalidMedia
from schemas.problem import Code
from storage.fetcher import refusals
from storage.fetcher.local import LocalFolder
from storage.fetcher.reference import S3Reference, parse_reference

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, kw_only=True)
class S3Prefix:
    """A prefix of a bucket, without the slash at its end; empty: the whole bucket."""

    bucket: str
    prefix: str

    def below(self, parts: Sequence[str]) -> S3Reference:
        return S3Reference(bucket=self.bucket, key="/".join((*filter(None, (self.prefix,)), *parts)))


def parse_base(base: str, roots: Sequence[Path]) -> LocalFolder | S3Prefix:
    """The place that `base` names: an `s3://` prefix, or a folder inside one of `roots`.

    A folder that is not absolute lies below the first root. Folders are compared by name, then walked without
    following links, so that neither a link nor `..` leads out of the root. Whether a prefix may be read is decided
    when it is read from.

    Raises:
        InvalidMedia: REFERENCE_OUTSIDE_ROOT or REFERENCE_SCHEME.
    """
    text = base.strip(" ")
    if text.lower().startswith("s3://"):
        return _parse_prefix(text)
    if _SCHEME.match(text) or "\0" in text:
        raise refusals.scheme(base, "a base is a folder or an s3:// prefix")
    folder = PurePosixPath(text)
    if ".." in folder.parts:
        raise refusals.outside_root(base, "'..' is not followed")
    if not folder.is_absolute() and roots:
        return LocalFolder(root=roots[0], below=folder.parts)
    for root in roots:
        for top in (root.absolute(), root.resolve()):
            if folder.is_relative_to(top):
                return LocalFolder(root=root, below=folder.relative_to(top).parts)
    raise InvalidMedia(
        Code.REFERENCE_OUTSIDE_ROOT,
        f"the base {refusals.shown(base)} lies in none of the folders that may be read: "
        + (", ".join(str(root) for root in roots) or "there are none"),
        fix="allow that folder as a root when the sheet is given, or put the sheet where its files are",
    )


def _parse_prefix(text: str) -> S3Prefix:
    bucket, _, prefix = text[len("s3://") :].rstrip("/").partition("/")
    if prefix:
        parse_reference(f"s3://{bucket}/{prefix}")
    return S3Prefix(bucket=bucket, prefix=prefix)
