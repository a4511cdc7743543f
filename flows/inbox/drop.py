"""What lies in an inbox, and which sheets of it may be taken. Pure: two looks at a list of files decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from schemas.errors import CallsheetError, InvalidMedia
from schemas.manifest.parse import parse_manifest
from schemas.settings import Limits, Settings
from storage.fetcher.reference import LocalReference, parse_reference

TAKEN, DONE, FAILED = ".taken", "done", "failed"
COMPLETE = ".complete"
"""`spring.csv.complete` beside `spring.csv` says that everything is there: nothing is waited for."""
SHEETS = frozenset({".csv", ".tsv"})


@dataclass(frozen=True, kw_only=True)
class InboxFile:
    """One file; `name` is its path below the inbox, `stamp` changes when the content does."""

    name: str
    size: int
    stamp: str
    modified_at: float
    """Seconds since the epoch."""


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A sheet with the files beside it."""

    sheet: InboxFile
    folder: str
    """Below the inbox; empty at its top."""
    alone: bool
    """Whether it shares its folder with other sheets, or lies at the top: then it is taken without the folder."""

    @property
    def stem(self) -> str:
        return PurePosixPath(self.sheet.name).stem


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """Whether a drop may be taken, and if not, why and until when (seconds since the epoch)."""

    ready: bool
    why: str = ""
    until: float | None = None


def drops(files: Iterable[InboxFile]) -> list[Drop]:
    """The sheets of an inbox, by name. Hidden files and what was taken, done or refused before are no drops."""
    sheets = [file for file in files if _is_sheet(file.name)]
    found = []
    for sheet in sorted(sheets, key=lambda file: file.name):
        folder = str(PurePosixPath(sheet.name).parent)
        folder = "" if folder == "." else folder
        shared = sum(PurePosixPath(other.name).is_relative_to(folder) for other in sheets) > 1 if folder else True
        found.append(Drop(sheet=sheet, folder=folder, alone=shared))
    return found


def _is_sheet(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in SHEETS and not hidden and path.parts[0] not in (DONE, FAILED)


def readiness(
    drop: Drop,
    before: Sequence[InboxFile],
    now: Sequence[InboxFile],
    references: Sequence[str],
    *,
    settings: Settings,
    clock: float,
) -> Readiness:
    """Decide from two looks at the inbox that lie `inbox_quiet_s` apart. `references` are the names the sheet gives."""
    here = {file.name: file for file in now}
    if drop.sheet.name + COMPLETE in here:
        return Readiness(ready=True)
    earlier = {file.name: file for file in before}
    wanted = [str(PurePosixPath(drop.folder) / reference) for reference in references]
    mine = [here[name] for name in dict.fromkeys((drop.sheet.name, *wanted)) if name in here]
    moving = [file for file in mine if _is_moving(file, earlier.get(file.name), settings, clock)]
    if moving:
        return Readiness(ready=False, why=f"still being written: {_some([file.name for file in moving])}")
    missing = [reference for reference, name in zip(references, wanted, strict=True) if name not in here]
    until = max(file.modified_at for file in mine) + settings.inbox_patience_s
    if missing and clock < until:
        return Readiness(ready=False, why=f"waits for files that it names: {_some(missing)}", until=until)
    return Readiness(ready=True)


def _is_moving(file: InboxFile, before: InboxFile | None, settings: Settings, clock: float) -> bool:
    """Young, or different from the look before. A copy that keeps old times is caught by the second."""
    if before is None or (before.size, before.stamp) != (file.size, file.stamp):
        return True
    return 0 <= clock - file.modified_at < settings.inbox_quiet_s


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(names[:3])
    return listed if len(names) <= 3 else f"{listed} and {len(names) - 3} more"


def references_of(data: bytes, name: str, limits: Limits) -> list[str]:
    """Names of files beside the sheet that its rows give; none where the sheet cannot be read: intake says why."""
    try:
        parsed = parse_manifest(data, name=name, limits=limits)
    except CallsheetError:
        return []
    places = [parsed.columns.index(column) for column in ("image", "audio") if column in parsed.columns]
    cells = (record.fields[n] for record in parsed.records for n in places if n < len(record.fields))
    found = dict.fromkeys(_local(part) for cell in cells for part in cell.split("|"))
    return [name for name in found if name]


def _local(text: str) -> str:
    try:
        reference = parse_reference(text)
    except InvalidMedia:
        return ""
    return "/".join(reference.parts) if isinstance(reference, LocalReference) else ""
