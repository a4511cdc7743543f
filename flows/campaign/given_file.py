"""A file that somebody names on the command line, or puts beside a sheet: read once, bounded, never waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from schemas.errors import CallsheetError, InvalidInput, InvalidSettings
from schemas.manifest.refusal import file_problem, refusal
from schemas.manifest.wording import visible
from schemas.problem import Code

CAMPAIGN_FILE_BYTES = 2**20
"""What stands in a campaign.toml fits into a thousandth of it."""
MOST_NAME_CHARS = 200


class Unreadable(CallsheetError):
    """There is no regular file of that name, or it cannot be read."""


class TooLarge(CallsheetError):
    """The file has more bytes than allowed."""


def read_regular(path: Path, *, max_bytes: int) -> bytes:
    """The bytes that a regular file says it has. What claims to be empty is not read: /proc has files that never end.

    Raises:
        Unreadable: it is missing, no regular file, or does not open.
        TooLarge: it has more than `max_bytes`.
    """
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        raise Unreadable(f"there is no file {visible(str(path))}") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"{visible(str(path))} cannot be opened: {_reason(error)}") from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise Unreadable(f"{visible(str(path))} is no regular file")
        if facts.st_size > max_bytes:
            raise TooLarge(f"{visible(path.name)} has {facts.st_size:,} bytes, more than the {max_bytes:,} allowed")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(facts.st_size)
    except OSError as error:
        raise Unreadable(f"{visible(str(path))} cannot be read: {_reason(error)}") from None
    finally:
        os.close(descriptor)


def read_sheet(path: Path, *, max_bytes: int) -> bytes:
    """The sheet's bytes.

    Raises:
        InvalidManifest: FILE_NOT_FOUND or FILE_TOO_LARGE.
    """
    try:
        return read_regular(path, max_bytes=max_bytes)
    except Unreadable as error:
        problem = file_problem(Code.FILE_NOT_FOUND, error.message, "give the path of a CSV file that can be read")
    except TooLarge as error:
        fix = "split the sheet into several campaigns, or raise limits.manifest_bytes"
        problem = file_problem(Code.FILE_TOO_LARGE, error.message, fix)
    raise refusal([problem])


def read_campaign_text(path: Path) -> str:
    """The text of a `campaign.toml`; empty where there is none.

    Raises:
        InvalidSettings: it is no regular file, too large, or not UTF-8.
    """
    if not os.path.lexists(path):
        return ""
    try:
        return read_regular(path, max_bytes=CAMPAIGN_FILE_BYTES).decode("utf-8")
    except (Unreadable, TooLarge) as error:
        raise InvalidSettings(error.message, fix="correct or remove campaign.toml") from None
    except UnicodeDecodeError as error:
        raise InvalidSettings(
            f"{visible(str(path))} is not UTF-8: byte 0x{error.object[error.start]:02X} at offset {error.start}",
            fix="save it as UTF-8",
        ) from None


def require_name(name: str) -> str:
    """A campaign's name as folders, tables and terminals can bear it.

    Raises:
        InvalidInput: it is no such name.
    """
    if 0 < len(name) <= MOST_NAME_CHARS and name.isprintable() and not {"/", "\\"} & {*name} and name.strip(". "):
        return name
    raise InvalidInput(
        f"'{visible(name[:MOST_NAME_CHARS])}' cannot be a campaign's name;"
        f" expected 1 to {MOST_NAME_CHARS} visible characters without / and \\",
        fix="name the campaign with --campaign, or rename the sheet",
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
