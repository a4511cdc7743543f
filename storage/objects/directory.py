"""An object store in a folder: what the embedded installation uses, and every file system can be.

`<root>/<key>` holds an object. Two side folders have names that no key can have: `@parts` holds what is being
written, `@types` the media types that a key's suffix does not tell. A key that is a folder of other keys cannot be an
object; the layout has no such keys.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat as modes
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from schemas.errors import InvalidInput, InvalidSettings, NotFound, Refused, Retryable
from storage.objects.beneath import folder_beneath, open_beneath
from storage.objects.keys import check_key, check_prefix, is_part
from storage.objects.media_types import media_type_of
from storage.objects.probe import probe
from storage.objects.protocol import StoredObject
from storage.objects.whole_file import whole_file

PARTS = "@parts"
TYPES = "@types"
STALE_PART_S = 24 * 3600.0
"""What is still being written after a day was left by a process that died."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_CHUNK = 1 << 20


class DirectoryStore:
    """Objects as files below `root`, which is made when it is first written to.

    A write is durable before its key shows it: data, name and folder are synced. Symbolic links below `root` are
    never followed. Safe to use from several threads and processes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def __repr__(self) -> str:
        return f"DirectoryStore({str(self._root)!r})"

    @property
    def url(self) -> str:
        return self._root.as_uri()

    def put_file(self, key: str, path: Path, *, media_type: str) -> None:
        check_key(key)
        with path.open("rb") as source:
            self._put(key, lambda target: shutil.copyfileobj(source, target, _CHUNK), media_type)

    def put_bytes(self, key: str, data: bytes, *, media_type: str) -> None:
        check_key(key)
        self._put(key, lambda target: target.write(data), media_type)

    def open(self, key: str) -> BinaryIO:
        return self._open(_parts_of(key), key)

    def get_file(self, key: str, path: Path) -> None:
        with self.open(key) as source, whole_file(path) as target:
            shutil.copyfileobj(source, target, _CHUNK)

    def stat(self, key: str) -> StoredObject:
        *folders, name = _parts_of(key)
        with self._reading(key), folder_beneath(self._root, folders) as folder:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not modes.S_ISREG(found.st_mode):
            raise self._missing(key)
        return _describe(key, found, self._media_type(key))

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        yield from self._list((), check_prefix(prefix), after)

    def copy(self, source: str, target: str) -> None:
        check_key(target)
        media_type = self.stat(source).media_type
        with self.open(source) as stream:
            self._put(target, lambda copy: shutil.copyfileobj(stream, copy, _CHUNK), media_type)

    def delete(self, key: str) -> None:
        parts = _parts_of(key)
        self._unlink(parts, key)
        self._unlink((TYPES, *parts), key)

    def presign(self, key: str, *, expires_s: int) -> str:
        self.stat(key)
        raise Refused(
            f"a directory has no links that work for {expires_s} s without credentials: {self.url}",
            fix="hand over the files themselves, or set store_url to s3://bucket/prefix",
        )

    def public_location(self, key: str) -> str:
        return str(self._root.joinpath(*_parts_of(key)))

    def check(self) -> None:
        """Also forgets what processes that died over a day ago were writing."""
        probe(self)
        self._sweep_parts()

    # -- writing -----------------------------------------------------------------------------------------------

    def _put(self, key: str, fill: Callable[[BinaryIO], object], media_type: str) -> None:
        is_told = media_type == media_type_of(key)
        if not is_told:
            # Before the object: one that can be seen has its type.
            self._place((TYPES, *_parts_of(key)), key, lambda target: target.write(media_type.encode()), durable=False)
        self._place(_parts_of(key), key, fill, durable=True)
        if is_told:
            self._unlink((TYPES, *_parts_of(key)), key)

    def _place(self, parts: Sequence[str], key: str, fill: Callable[[BinaryIO], object], *, durable: bool) -> None:
        """Write a part and give it its name; `durable`: data before name before return."""
        *folders, name = parts
        part = secrets.token_hex(16)
        with (
            self._writing(key),
            folder_beneath(self._root, (PARTS,), create=True) as writing,
            folder_beneath(self._root, folders, create=True) as folder,
        ):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(part, flags, 0o666, dir_fd=writing), "wb") as target:
                    fill(target)
                    target.flush()
                    if durable:
                        os.fsync(target.fileno())
                os.rename(part, name, src_dir_fd=writing, dst_dir_fd=folder)
            except BaseException:
                _unlink_at(part, writing)
                raise
            if durable:
                os.fsync(folder)

    def _unlink(self, parts: Sequence[str], key: str) -> None:
        *folders, name = parts
        try:
            with self._reading(key), folder_beneath(self._root, folders) as folder:
                os.unlink(name, dir_fd=folder)
        except NotFound:
            return

    def _sweep_parts(self) -> None:
        before = time.time() - STALE_PART_S
        with self._writing(PARTS), folder_beneath(self._root, (PARTS,), create=True) as writing:
            for name in _names(writing):
                found = _stat_at(name, writing)
                if found is not None and found.st_mtime < before:
                    _unlink_at(name, writing)

    # -- reading -----------------------------------------------------------------------------------------------

    def _open(self, parts: Sequence[str], key: str) -> BinaryIO:
        *folders, name = parts
        with self._reading(key), folder_beneath(self._root, folders) as folder:
            descriptor = open_beneath(folder, name)
        stream = os.fdopen(descriptor, "rb") if modes.S_ISREG(os.fstat(descriptor).st_mode) else None
        if stream is None:
            os.close(descriptor)
            raise self._missing(key)
        return stream

    def _media_type(self, key: str) -> str:
        try:
            with self._open((TYPES, *_parts_of(key)), key) as record:
                return record.read(256).decode("ascii", "replace") or media_type_of(key)
        except NotFound:
            return media_type_of(key)

    def _list(self, parts: tuple[str, ...], prefix: str, after: str) -> Iterator[StoredObject]:
        for name, found in self._entries(parts):
            key = "/".join((*parts, name))
            if modes.S_ISDIR(found.st_mode):
                if _may_hold(f"{key}/", prefix, after):
                    yield from self._list((*parts, name), prefix, after)
            elif key.startswith(prefix) and key > after:
                yield _describe(key, found, media_type_of(key))

    def _entries(self, parts: Sequence[str]) -> Sequence[tuple[str, os.stat_result]]:
        """Files and folders of one folder, in the order of the keys that they hold; none when it is gone."""
        try:
            with self._reading("/".join(parts)), folder_beneath(self._root, parts) as folder:
                stats = [(name, _stat_at(name, folder)) for name in _names(folder) if is_part(name)]
        except NotFound:
            return ()
        found = [(name, kept) for name, kept in stats if kept is not None]
        # "a-b" < "a/b" < "a0": a folder takes the place of its name with the slash.
        return sorted(found, key=lambda item: item[0] + "/" * modes.S_ISDIR(item[1].st_mode))

    # -- errors ------------------------------------------------------------------------------------------------

    def _missing(self, key: str) -> NotFound:
        return NotFound(f"there is no object {key} in {self.url}")

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _ABSENT:
                raise self._missing(key) from None
            raise self._trouble(key, error) from error

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _ABSENT or error.errno == errno.EEXIST:
                raise InvalidInput(
                    f"{key} cannot be an object of {self.url}: {error.strerror}",
                    fix="a key cannot lie below another object, be a folder of other keys, or pass a symbolic link",
                ) from error
            raise self._trouble(key, error) from error

    def _trouble(self, key: str, error: OSError) -> InvalidSettings | Retryable:
        said = f"the object store {self.url} failed at {key!r}: {error.strerror}"
        if error.errno in _FORBIDDEN:
            return InvalidSettings(said, fix="give this user the right to read and write that folder")
        return Retryable(said, fix="see that the disk is there and has room, then run the same again")


def _parts_of(key: str) -> tuple[str, ...]:
    return tuple(check_key(key).split("/"))


def _may_hold(below: str, prefix: str, after: str) -> bool:
    """Whether a key that starts with `below` can start with `prefix` and come after `after`."""
    in_prefix = below.startswith(prefix) or prefix.startswith(below)
    return in_prefix and (below > after or after.startswith(below))


def _names(folder: int) -> Sequence[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _stat_at(name: str, folder: int) -> os.stat_result | None:
    """None for what is gone by now, and for what is neither a file nor a folder."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found if modes.S_ISREG(found.st_mode) or modes.S_ISDIR(found.st_mode) else None


def _unlink_at(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _describe(key: str, found: os.stat_result, media_type: str) -> StoredObject:
    return StoredObject(key=key, size=found.st_size, modified_at=found.st_mtime, media_type=media_type)
