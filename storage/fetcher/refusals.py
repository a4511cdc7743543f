"""The ways in which a reference cannot be fetched, each with its code, and how to mend it."""

from __future__ import annotations

from schemas.errors import InvalidMedia
from schemas.problem import Code

MAX_SHOWN = 200


def shown(reference: str) -> str:
    """A reference as a message may show it: quoted, printable, short."""
    return repr(reference if len(reference) <= MAX_SHOWN else f"{reference[:MAX_SHOWN]}...")


def scheme(reference: str, why: str) -> InvalidMedia:
    return InvalidMedia(
        Code.REFERENCE_SCHEME,
        f"{shown(reference)} cannot be used as a reference: {why}",
        fix="give a path relative to the sheet (images/anna.png), s3://bucket/key, or https:// on an allowed host",
    )


def outside_root(reference: str, why: str) -> InvalidMedia:
    return InvalidMedia(
        Code.REFERENCE_OUTSIDE_ROOT,
        f"{shown(reference)} leads out of the folder that references start from: {why}",
        fix="put the file beside the sheet and name it by a relative path without '..'",
    )


def not_a_file(reference: str, why: str) -> InvalidMedia:
    return InvalidMedia(
        Code.REFERENCE_NOT_A_FILE,
        f"{shown(reference)} is {why}, expected a regular file",
        fix="name the file itself",
    )


def missing(reference: str, hint: str = "") -> InvalidMedia:
    return InvalidMedia(
        Code.REFERENCE_MISSING,
        f"{shown(reference)} does not exist",
        fix=f"did you mean {shown(hint)}?" if hint else "put the file there or correct its name",
    )


def host(reference: str, why: str, fix: str) -> InvalidMedia:
    return InvalidMedia(Code.REFERENCE_HOST, f"{shown(reference)}: {why}", fix=fix)


def address(reference: str, why: str) -> InvalidMedia:
    return InvalidMedia(
        Code.REFERENCE_ADDRESS,
        f"{shown(reference)}: {why}",
        fix="name a host on the public internet, or put the file beside the sheet",
    )


def unreachable(reference: str, why: str) -> InvalidMedia:
    return InvalidMedia(
        Code.REFERENCE_UNREACHABLE,
        f"{shown(reference)} could not be fetched: {why}",
        fix="see that the address opens without a login or redirect, or put the file beside the sheet",
    )


def too_large(reference: str, kind: str, max_bytes: int, size: int | None = None) -> InvalidMedia:
    has = f"has {size:,} bytes" if size is not None else "has more bytes"
    return InvalidMedia(
        Code.REFERENCE_TOO_LARGE,
        f"{shown(reference)} {has}, an {kind} may have {max_bytes:,}",
        fix=f"make the file smaller, or raise limits.{kind}_bytes in the settings",
    )
