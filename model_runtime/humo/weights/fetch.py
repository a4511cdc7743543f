"""Published files from their repositories: resolved once into the lock file, then always compared with it.

The lock is written as soon as every file's digest is known and before the large ones are downloaded, so an
interrupted fetch goes on with the same revisions. Partial files are continued where they stopped.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its client's root, whichever that is
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but not declared so
from tqdm import tqdm  # type: ignore[import-untyped]  # ships no types

from model_runtime.humo.weights.layout import HumoModel, local_folder
from model_runtime.humo.weights.lockfile import find_lock, measure, write_lock
from schemas.errors import Corrupted, InvalidInput, Refused, Retryable
from schemas.weights import LockedFile, WeightsLock

OnBytes = Callable[[str, int, int], None]
"""Told a file's path and how many of how many bytes of it are here."""

OnPlan = Callable[[Mapping[str, int]], None]
"""Told every file's size in bytes, by path, before the first is brought."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A file of a repository at a revision, and its size in bytes."""

    repository: str
    revision: str | None
    path: str
    size: int

    @property
    def local(self) -> str:
        return f"{local_folder(self.repository)}/{self.path}"


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A file as the hub lists it."""

    source: _Source
    sha256: str | None
    """Known from the hub for large files; None for those kept in git itself."""
    blob: str
    """Git's id of the blob."""


def fetch(
    root: Path, model: HumoModel, on_bytes: OnBytes, *, on_plan: OnPlan | None = None, endpoint: str | None = None
) -> WeightsLock:
    """Bring every file of the model under `root` and return its lock.

    Raises:
        InvalidInput: the model is published nowhere, or its repositories lack a part.
        Refused: the disk has no room.
        Retryable: the hub is away or refuses.
        Corrupted: what came is not what the lock, or the hub, says.
    """
    if not model.published:
        how = f"python -m model_runtime model make-tiny {model.name}" if model.is_random else "make train-small"
        raise InvalidInput(f"{model.name} is published nowhere", fix=f"make it: {how}")
    root.mkdir(parents=True, exist_ok=True)
    lock = find_lock(root, model.name)
    try:
        if lock is None:
            wanted = _wanted(model, endpoint)
            _tell(on_plan, {file.source.local: file.source.size for file in wanted})
            lock = _resolve(root, model, wanted, on_bytes, endpoint)
            write_lock(root, lock)
        else:
            _tell(on_plan, {path: file.size for path, file in lock.files.items()})
        _download_all(root, lock, on_bytes, endpoint)
    except (HTTPError, OSError) as error:
        raise Retryable(
            f"fetching {model.name} stopped: {error}", fix="fetch again; what is here already is kept"
        ) from error
    return lock


def _tell(on_plan: OnPlan | None, sizes: Mapping[str, int]) -> None:
    if on_plan:
        on_plan(sizes)


def _wanted(model: HumoModel, endpoint: str | None) -> list[_Wanted]:
    wanted = [file for repository in model.layout.repositories for file in _list(model, repository, endpoint)]
    _check_complete(model, wanted)
    return wanted


def _resolve(
    root: Path, model: HumoModel, wanted: list[_Wanted], on_bytes: OnBytes, endpoint: str | None
) -> WeightsLock:
    files = {}
    for file in wanted:
        if file.sha256 is not None:
            files[file.source.local] = LockedFile(sha256=file.sha256, size=file.source.size)
            continue
        path = _download(root, file.source, on_bytes, endpoint)
        if _git_blob(path) != file.blob:
            path.unlink()
            raise Corrupted(f"{file.source.local} is not what its repository lists", fix="fetch again")
        files[file.source.local] = measure(path)
    return WeightsLock(
        model=model.name, repositories={file.source.repository: file.source.revision for file in wanted}, files=files
    )


def _list(model: HumoModel, repository: str, endpoint: str | None) -> Iterator[_Wanted]:
    info = HfApi(endpoint=endpoint).model_info(repository, files_metadata=True)
    siblings: list[RepoSibling] = info.siblings or []
    for sibling in siblings:
        if model.layout.needs(repository, sibling.rfilename):
            yield _Wanted(
                source=_Source(
                    repository=repository, revision=info.sha, path=sibling.rfilename, size=sibling.size or 0
                ),
                sha256=sibling.lfs.sha256 if sibling.lfs else None,
                blob=sibling.blob_id or "",
            )


def _check_complete(model: HumoModel, wanted: list[_Wanted]) -> None:
    layout = model.layout
    named = (layout.transformer, layout.vae, layout.text, layout.speech, *layout.speech_settings)
    found = {file.source.local for file in wanted}
    absent = [part.local for part in named if part.local not in found]
    if not any(path.startswith(layout.tokenizer.local + "/") for path in found):
        absent.append(layout.tokenizer.local)
    if absent:
        raise InvalidInput(
            f"the repositories of {model.name} lack {', '.join(absent)}",
            fix="the published layout has changed; docs/humo.md says which files are expected",
        )


def _download_all(root: Path, lock: WeightsLock, on_bytes: OnBytes, endpoint: str | None) -> None:
    missing = {path: file for path, file in lock.files.items() if not _is_here(root, lock, path, file, on_bytes)}
    needed, free = sum(file.size for file in missing.values()), shutil.disk_usage(root).free
    if needed > free:
        raise Refused(
            f"{lock.model} still needs {needed / 1e9:.1f} GB, {root} has {free / 1e9:.1f} GB free",
            fix="make room or name another folder with --weights",
        )
    repositories = {local_folder(repository): repository for repository in lock.repositories}
    for path, file in missing.items():
        folder, _, inside = path.partition("/")
        repository = repositories[folder]
        source = _Source(repository=repository, revision=lock.repositories[repository], path=inside, size=file.size)
        found = _download(root, source, on_bytes, endpoint)
        if measure(found) != file:
            found.unlink()
            raise Corrupted(
                f"{path} is not the file that was locked", fix="fetch again; if it stays so, the repository was changed"
            )


def _is_here(root: Path, lock: WeightsLock, path: str, file: LockedFile, on_bytes: OnBytes) -> bool:
    """The file itself, or what was converted from it after it had been checked."""
    place = root / path
    if place.is_file():
        return place.stat().st_size == file.size and measure(place, on_bytes, name=path) == file
    is_converted = any(
        converted.source == path and (root / name).is_file() for name, converted in lock.converted.items()
    )
    if is_converted:
        on_bytes(path, file.size, file.size)
    return is_converted


def _download(root: Path, source: _Source, on_bytes: OnBytes, endpoint: str | None) -> Path:
    """The file in its place. What a stopped download left in the `.part` beside it is kept and continued."""
    place = root / source.local
    part = place.with_name(f"{place.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as stream:
        if stream.tell() > source.size:
            stream.truncate(0)
        http_get(
            hf_hub_url(source.repository, source.path, revision=source.revision, endpoint=endpoint),
            stream,
            resume_size=stream.seek(0, io.SEEK_END),
            headers=build_hf_headers(),
            expected_size=source.size,
            tqdm_class=_bar(source.local, on_bytes),
        )
    part.replace(place)
    return place


def _bar(name: str, on_bytes: OnBytes) -> type[Any]:
    """The hub's client draws a bar per file and hears of no other; this one only passes on what it is told."""

    class Listener(tqdm):  # type: ignore[misc]  # as its import
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs | {"disable": True})
            self.done = int(kwargs.get("initial") or 0)
            self.whole = int(kwargs.get("total") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            self.done += int(n or 0)
            on_bytes(name, self.done, self.whole)
            return None

    return Listener


def _git_blob(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
