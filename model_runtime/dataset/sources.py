"""Files below a folder, each with its digest, in groups that stay together when others come or go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from model_runtime.dataset.shelf import write_whole
from schemas.digest import sha256_stream
from schemas.errors import InvalidInput


@dataclass(frozen=True, kw_only=True, order=True)
class Source:
    """One file."""

    sha256: str
    name: str
    """Relative to the folder, as text that any file can hold."""
    sidecar: str
    """SHA-256 of the text beside it, empty without one."""
    path: Path = field(compare=False)

    def as_list(self) -> list[str]:
        return [self.sha256, self.name, self.sidecar]


class SourceFolder:
    """Digests are remembered by size and time of change, in `memory`, so that a file is only read when it changed.

    Raises:
        InvalidInput: there is no such folder, it cannot be listed, or nothing in it has one of the suffixes.
    """

    def __init__(self, folder: Path, suffixes: Sequence[str], memory: Path, what: str) -> None:
        self.folder = folder
        self._suffixes = frozenset(suffixes)
        self._memory = memory
        self._what = what

    def files(self) -> list[Source]:
        """All of them, those with equal content beside each other."""
        if not self.folder.is_dir():
            raise InvalidInput(f"{self.folder} is no folder", fix=f"name the folder that holds the {self._what}")
        try:
            paths = [path for path in sorted(self.folder.rglob("*")) if self._is_wanted(path)]
        except OSError as error:
            raise InvalidInput(
                f"{self.folder} cannot be listed: {error.strerror}", fix="give permission to read it"
            ) from error
        if not paths:
            raise InvalidInput(
                f"no {self._what} in {self.folder}: no file there ends in {', '.join(sorted(self._suffixes))}",
                fix=f"name the folder that holds the {self._what}",
            )
        known = self._remembered()
        found, sources = {}, []
        for path in paths:
            # Names are bytes; those that are no text are shown as escapes.
            name = (
                path.relative_to(self.folder)
                .as_posix()
                .encode("utf-8", "surrogateescape")
                .decode("utf-8", "backslashreplace")
            )
            entry = self._entry(path, known.get(name))
            found[name] = entry
            sources.append(Source(sha256=str(entry[2]), name=name, sidecar=_sidecar_digest(path), path=path))
        if found != known:
            write_whole(self._memory, json.dumps(found, sort_keys=True).encode(), self._memory.parent)
        return sorted(sources)

    def _is_wanted(self, path: Path) -> bool:
        if path.suffix.lower() not in self._suffixes or not path.is_file():
            return False
        return not any(part.startswith(".") for part in path.relative_to(self.folder).parts)

    def _remembered(self) -> dict[str, list[object]]:
        with suppress(OSError, ValueError):
            known = json.loads(self._memory.read_text(encoding="utf-8"))
            if isinstance(known, dict):
                return known
        return {}

    def _entry(self, path: Path, known: list[object] | None) -> list[object]:
        try:
            facts = path.stat()
            if known and known[:2] == [facts.st_size, facts.st_mtime_ns]:
                return known
            with path.open("rb") as file:
                return [facts.st_size, facts.st_mtime_ns, sha256_stream(file)]
        except OSError:
            # It is counted as unreadable when it is cut; until then it must not stop the others.
            return [0, 0, ""]


def is_unchanged(source: Source) -> bool:
    """Whether the file still holds what it held when the shards were planned."""
    try:
        with source.path.open("rb") as file:
            return sha256_stream(file) == source.sha256
    except OSError:
        return False


def sidecar_of(video: Path) -> Path:
    """Where a video's caption lies: the same name with .txt."""
    return video.with_suffix(".txt")


def _sidecar_digest(path: Path) -> str:
    with suppress(OSError), sidecar_of(path).open("rb") as file:
        return sha256_stream(file)
    return ""


def grouped(sources: Sequence[Source], per_group: int) -> list[list[Source]]:
    """Groups by the leading bits of the digest: one file more changes one group, or doubles their number."""
    groups = 1
    while groups * per_group < len(sources):
        groups *= 2
    by_bits: dict[int, list[Source]] = {}
    for source in sources:
        by_bits.setdefault(int(source.sha256[:8] or "0", 16) % groups, []).append(source)
    return [by_bits[bits] for bits in sorted(by_bits)]
