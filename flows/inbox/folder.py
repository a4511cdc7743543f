"""An inbox that is a folder. A drop is claimed by renaming it, which one process can do once."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from uuid import uuid4

from flows.inbox.drop import COMPLETE, DONE, FAILED, TAKEN, Drop, InboxFile, references_of
from flows.inbox.place import Claimed
from schemas.settings import Limits

OWNER = ".owner"
ABANDONED_S = 900.0
"""A sweep of another machine that was silent for so long is dead."""
_TOKEN = uuid4().hex
_MOST_SCANNED = 64 * 2**20


class FolderInbox:
    """Drops below `root`. Links are never followed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for name in ("", DONE, FAILED, TAKEN):
            (root / name).mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return self._root.as_uri()

    def list(self) -> Sequence[InboxFile]:
        return sorted(self._walk(self._root), key=lambda file: file.name)

    def _walk(self, folder: Path) -> Iterator[InboxFile]:
        with os.scandir(folder) as entries:
            for entry in entries:
                top = folder == self._root
                if entry.name.startswith(".") or (top and entry.name in (DONE, FAILED)):
                    continue
                # A file may be moved away between the two questions.
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        yield from self._walk(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        yield self._file(Path(entry.path))

    def _file(self, path: Path) -> InboxFile:
        found = path.lstat()
        return InboxFile(
            name=path.relative_to(self._root).as_posix(),
            size=found.st_size,
            stamp=str(found.st_mtime_ns),
            modified_at=found.st_mtime,
        )

    def read(self, file: InboxFile, limit: int) -> bytes:
        try:
            with (self._root / file.name).open("rb") as stream:
                return stream.read(limit)
        except FileNotFoundError:
            return b""

    @contextmanager
    def claim(self, drop: Drop, references: Sequence[str]) -> Iterator[Claimed | None]:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        held = self._root / TAKEN / f"{drop.stem}-{stamp}-{uuid4().hex[:6]}"
        held.mkdir()
        (held / OWNER).write_text(json.dumps(_me() | {"folder": drop.folder, "alone": drop.alone}))
        inside = held / "drop"
        try:
            if drop.alone:
                inside.mkdir()
                (self._root / drop.sheet.name).rename(inside / PurePosixPath(drop.sheet.name).name)
                self._bring(drop, references, inside)
            else:
                (self._root / drop.folder).rename(inside)
        except FileNotFoundError:
            shutil.rmtree(held)
            yield None
            return
        path = inside / PurePosixPath(drop.sheet.name).name
        done = self._root / DONE / held.name
        try:
            yield Claimed(drop=drop, path=path, base="", kept_at=str(done.resolve()))
        finally:
            if inside.exists():
                self._put_back(held)
            shutil.rmtree(held, ignore_errors=True)

    def _bring(self, drop: Drop, references: Sequence[str], inside: Path) -> None:
        """Files of a sheet that shares its folder: linked, for another sheet may name them too."""
        for name in ("campaign.toml", *references):
            source = self._root / drop.folder / name
            if source.is_symlink() or not source.is_file():
                continue
            target = inside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target, follow_symlinks=False)
            except FileExistsError:
                continue
            except OSError:
                shutil.copy2(source, target, follow_symlinks=False)

    def finish(self, claimed: Claimed) -> bool:
        if self._has_changed(claimed):
            return False
        self._move(claimed, Path(claimed.kept_at))
        return True

    def refuse(self, claimed: Claimed, reports: Mapping[str, bytes]) -> str:
        if self._has_changed(claimed):
            return ""
        for name, content in reports.items():
            (claimed.path.parent / name).write_bytes(content)
        target = self._root / FAILED / Path(claimed.kept_at).name
        self._move(claimed, target)
        return str(target)

    def _has_changed(self, claimed: Claimed) -> bool:
        """Its writer still had it open: a name may move, an open file goes with it."""
        found = claimed.path.lstat()
        return (found.st_size, str(found.st_mtime_ns)) != (claimed.drop.sheet.size, claimed.drop.sheet.stamp)

    def _move(self, claimed: Claimed, target: Path) -> None:
        inside = claimed.path.parent
        if claimed.drop.alone:
            self._remove_originals(claimed, inside)
        with suppress(FileNotFoundError):
            (inside / (claimed.path.name + COMPLETE)).unlink()
        inside.rename(target)

    def _remove_originals(self, claimed: Claimed, inside: Path) -> None:
        """What was linked, unless another sheet of the folder names it."""
        folder = self._root / claimed.drop.folder
        data = b"".join(
            self.read(self._file(path), _MOST_SCANNED) + b"\n"
            for path in folder.iterdir()
            if path.suffix.lower() in (".csv", ".tsv") and path.is_file()
        )
        mine = references_of(claimed.path.read_bytes(), claimed.path.name, Limits())
        for name in mine:
            if Path(name).name.encode() not in data and (inside / name).is_file():
                (folder / name).unlink(missing_ok=True)
        (folder / (claimed.path.name + COMPLETE)).unlink(missing_ok=True)

    def _put_back(self, held: Path) -> None:
        owner = json.loads((held / OWNER).read_text())
        inside, folder = held / "drop", self._root / str(owner["folder"])
        if owner["alone"]:
            for sheet in inside.iterdir():
                if sheet.suffix.lower() in (".csv", ".tsv") and not (folder / sheet.name).exists():
                    folder.mkdir(parents=True, exist_ok=True)
                    sheet.rename(folder / sheet.name)
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Somebody may have made a folder of that name meanwhile: both are kept.
        inside.rename(folder if not folder.exists() else folder.with_name(f"{folder.name}-{held.name}"))

    def recover(self) -> int:
        count = 0
        for held in sorted((self._root / TAKEN).iterdir()):
            try:
                if not _is_abandoned(held):
                    continue
                if (held / "drop").exists():
                    self._put_back(held)
                    count += 1
                shutil.rmtree(held, ignore_errors=True)
            except (FileNotFoundError, ValueError):
                # Another sweep recovers it, or ends it, at this moment.
                continue
        return count


def _me() -> dict[str, str | int]:
    return {"host": platform.node(), "pid": os.getpid(), "token": _TOKEN}


def _is_abandoned(held: Path) -> bool:
    note = held / OWNER
    owner = json.loads(note.read_text())
    if owner["host"] != platform.node():
        return time.time() - note.stat().st_mtime > ABANDONED_S
    if owner["pid"] == os.getpid():
        return bool(owner["token"] != _TOKEN)
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
