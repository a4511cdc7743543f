"""The folder that deliverables go to: every file appears whole or not at all, and only what is ours is ever removed."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from flows.delivery.progress import Report
from schemas.errors import InvalidInput, Refused
from schemas.object_ref import ObjectRef
from storage.objects.protocol import ObjectStore
from storage.objects.verified import get_verified
from storage.objects.whole_file import is_part, part_of, whole_file

RECORD = ".callsheet-delivery.json"
"""What callsheet put into the folder; without an entry here no file is removed."""

AT_ONCE = 8
"""Downloads under way together."""


def unusable(out: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"the deliverables cannot be written to {out}: {why}",
        fix="name a folder that you may write to and that has room with --out, then run the same again",
    )


def require_room(out: Path, campaign_id: str) -> None:
    """What `deliver` would say in the end, said before anything is spent, as far as it shows by then. Makes nothing.

    Raises:
        InvalidInput: `out` is no folder, or no folder that this process may write to.
        Refused: it holds another campaign's deliverables.
    """
    path = out.absolute()
    nearest = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    if not nearest.is_dir():
        raise unusable(out, f"{nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise unusable(out, f"{nearest} may not be written to")
    DeliveryFolder(out, campaign_id)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One file of ours. `mtime_ns` is 0 while it is only meant to be there."""

    sha256: str
    size: int
    mtime_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What bringing the folder up to date took."""

    fetched: int = 0
    kept: int = 0
    removed: int = 0


class DeliveryFolder:
    """`out` as one campaign's place. The record is written before the files, so that a killed run forgets none.

    Raises:
        Refused: the folder holds another campaign's deliverables.
    """

    def __init__(self, out: Path, campaign_id: str) -> None:
        self.out = out
        self._campaign_id = campaign_id
        self._placed = self._read_record()

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """The block in which files are brought; who enters alone clears away what a killed delivery left half-brought.

        A second delivery beside this one leaves all parts alone, since some are being written. The lock
        is on the folder itself, shared, and ends with its process.
        """
        with _open_folder(self.out) as handle:
            with suppress(OSError):  # some network file systems lock no folder: there parts stay
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._remove_parts()
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_SH)  # waits at most for somebody's clearing away
            yield

    def write(self, name: str, data: bytes) -> None:
        with whole_file(self.out / name) as stream:
            stream.write(data)

    def write_unless_theirs(self, name: str, data: bytes) -> bool:
        """Write a file unless somebody else's stands there under that name; whether it is ours."""
        found, known = _regular(self.out / name), self._placed.get(name)
        is_theirs = os.path.lexists(self.out / name) and not (
            found and known and (found.st_size, found.st_mtime_ns) == (known.size, known.mtime_ns)
        )
        if not is_theirs:
            self.write(name, data)
        return not is_theirs

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A stream whose file appears when it is left without an error."""
        return whole_file(self.out / name)

    def place_all(self, wanted: Mapping[str, ObjectRef], store: ObjectStore, report: Report) -> Difference:
        """Bring the stored objects in under their names; only what is missing or different is fetched.

        Raises:
            NotFound, Corrupted: an object is not there, or is not what the ledger says.
            Retryable: the store is away; what was brought stays.
        """
        todo = {name: ref for name, ref in wanted.items() if not self._is_there(name, ref)}
        self._placed |= {name: Placed(sha256=ref.sha256, size=ref.size) for name, ref in todo.items()}
        self._write_record()
        report("copying files", 0, len(todo))
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            brought = pool.map(lambda item: self._bring(item[0], item[1], store), todo.items())
            try:
                for done, (name, placed) in enumerate(brought, start=1):
                    self._placed[name] = placed
                    report("copying files", done, len(todo))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return Difference(fetched=len(todo), kept=len(wanted) - len(todo))

    def note_written(self, names: Iterable[str]) -> None:
        """Note files that `write` made whose number changes from run to run."""
        self._placed |= {name: self._describe(name) for name in names}
        self._write_record()

    def remove_others(self, wanted: Iterable[str]) -> int:
        """Remove files of ours that are not `wanted` any more; what somebody else put there or changed stays."""
        keep = set(wanted)
        removed, emptied = 0, set()
        for name in [name for name in self._placed if name not in keep]:
            placed, path = self._placed.pop(name), self.out / name
            found = _regular(path)
            if found and found.st_size == placed.size and placed.mtime_ns in (0, found.st_mtime_ns):
                path.unlink()
                emptied.add(path.parent)
                removed += 1
        self._write_record()
        for folder in emptied - {self.out}:
            with suppress(OSError):
                folder.rmdir()  # only an empty one goes
        return removed

    def _remove_parts(self) -> None:
        """Only in folders that the record names, and only names that `part_of` gives."""
        for folder in {self.out, *((self.out / name).parent for name in self._placed)}:
            for path in folder.iterdir() if folder.is_dir() else ():
                if is_part(path) and _regular(path):
                    path.unlink(missing_ok=True)

    # -- one file ----------------------------------------------------------------------------------------------

    def _is_there(self, name: str, ref: ObjectRef) -> bool:
        known, found = self._placed.get(name), _regular(self.out / name)
        return (
            known is not None
            and found is not None
            and (known.sha256, known.size, known.mtime_ns) == (ref.sha256, found.st_size, found.st_mtime_ns)
        )

    def _bring(self, name: str, ref: ObjectRef, store: ObjectStore) -> tuple[str, Placed]:
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _linked(store, ref, path):
            get_verified(store, ref, path)
        return name, Placed(sha256=ref.sha256, size=ref.size, mtime_ns=path.stat().st_mtime_ns)

    def _describe(self, name: str) -> Placed:
        found = (self.out / name).stat()
        return Placed(sha256="", size=found.st_size, mtime_ns=found.st_mtime_ns)

    # -- the record --------------------------------------------------------------------------------------------

    def _read_record(self) -> dict[str, Placed]:
        try:
            record = json.loads((self.out / RECORD).read_bytes())
            owner, files = record["campaign_id"], {name: Placed(**entry) for name, entry in record["files"].items()}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (ValueError, KeyError, TypeError, AttributeError):
            # Not ours to mend: nothing is known to be ours, so nothing will be removed.
            return {}
        if owner != self._campaign_id:
            raise Refused(
                f"{self.out} holds the deliverables of another campaign ({owner})", fix="name another folder with --out"
            )
        return {name: placed for name, placed in files.items() if _is_beneath(name)}

    def _write_record(self) -> None:
        files = {name: asdict(placed) for name, placed in sorted(self._placed.items())}
        self.write(RECORD, json.dumps({"campaign_id": self._campaign_id, "files": files}, indent=1).encode())


@contextmanager
def _open_folder(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)


def _regular(path: Path) -> os.stat_result | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _is_beneath(name: str) -> bool:
    path = Path(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _linked(store: ObjectStore, ref: ObjectRef, path: Path) -> bool:
    """A hard link to a directory store's own file, where the file system allows one: no second copy of the bytes."""
    if not store.url.startswith("file:"):
        return False
    source = Path(store.public_location(ref.key))
    part = part_of(path)
    try:
        os.link(source, part, follow_symlinks=False)
        found = part.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != ref.size:
            return False
        part.replace(path)
    except OSError:
        return False
    finally:
        # Also when both names are one file already: then rename does nothing and leaves the part.
        part.unlink(missing_ok=True)
    return True
