"""The lock file on disk: written once, then compared with what lies beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from model_runtime.humo.weights.layout import MODELS
from schemas.errors import InvalidInput
from schemas.weights import LockedFile, WeightsLock, lock_name

OnBytes = Callable[[str, int, int], None]
"""Told a path and how many of how many of its bytes are read."""

_CHUNK = 16 * 2**20
_THREADS = 4


def lock_path(root: Path, model: str) -> Path:
    return root / lock_name(model)


def find_lock(root: Path, model: str) -> WeightsLock | None:
    """The model's lock, or None where the model was never fetched or made.

    Raises:
        InvalidInput: the file is no lock, or one of another model.
    """
    path = lock_path(root, model)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    lock = WeightsLock.parse(text, name=str(path))
    if lock.model != model:
        raise InvalidInput(f"{path} is the lock of {lock.model!r}", fix="keep each model's lock under its own name")
    return lock


def read_lock(root: Path, model: str) -> WeightsLock:
    """As `find_lock`.

    Raises:
        InvalidInput: also when there is none.
    """
    lock = find_lock(root, model)
    if lock is None:
        raise InvalidInput(
            f"{lock_path(root, model)} is missing: no weights of {model} were fetched into this folder",
            fix=_how_to_get(root, model),
        )
    return lock


def write_lock(root: Path, lock: WeightsLock) -> None:
    """Whole or not at all."""
    path = lock_path(root, lock.model)
    part = path.with_name(f"{path.name}.part")
    part.write_text(lock.as_json(), encoding="utf-8")
    part.replace(path)


def measure(path: Path, on_bytes: OnBytes | None = None, *, name: str = "") -> LockedFile:
    """A file's size and SHA-256, read in chunks of 16 MiB; `name` is what it is called before `on_bytes`."""
    state, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            state.update(block)
            done += len(block)
            if on_bytes:
                on_bytes(name or path.name, done, size)
    return LockedFile(sha256=state.hexdigest(), size=done)


def expected_files(root: Path, lock: WeightsLock) -> dict[str, LockedFile]:
    """What must lie there. A pickle may be gone once its converted form is there."""
    files = dict(lock.files)
    for path, converted in lock.converted.items():
        files[path] = LockedFile(sha256=converted.sha256, size=converted.size)
        if not (root / converted.source).exists():
            files.pop(converted.source, None)
    return files


def check_sizes(root: Path, lock: WeightsLock) -> None:
    """Every file is there, in its full length.

    Raises:
        InvalidInput: naming each that is not.
    """
    faults = []
    for path, file in expected_files(root, lock).items():
        try:
            size = (root / path).stat().st_size
        except FileNotFoundError:
            faults.append(f"{path} is missing")
            continue
        if size != file.size:
            faults.append(f"{path} has {size} bytes, expected {file.size}")
    _refuse(lock, root, faults)


def check_digests(root: Path, lock: WeightsLock, on_bytes: OnBytes | None = None) -> None:
    """Every file is byte for byte what was locked; all of it is read, a few files at a time.

    Raises:
        InvalidInput: naming each that is not.
    """
    check_sizes(root, lock)
    files = expected_files(root, lock)
    with ThreadPoolExecutor(_THREADS) as pool:
        found = dict(zip(files, pool.map(lambda path: measure(root / path, on_bytes, name=path), files), strict=True))
    _refuse(
        lock,
        root,
        [
            f"{path} has SHA-256 {found[path].sha256[:12]}..., expected {file.sha256[:12]}..."
            for path, file in files.items()
            if found[path].sha256 != file.sha256
        ],
    )


def _refuse(lock: WeightsLock, root: Path, faults: Iterable[str]) -> None:
    listed = list(faults)
    if listed:
        raise InvalidInput(
            f"the weights of {lock.model} in {root} are not those of its lock file: " + "; ".join(listed),
            fix=_how_to_get(root, lock.model),
        )


def _how_to_get(root: Path, model: str) -> str:
    known = MODELS.get(model)
    if known and known.is_random:
        return f"in an empty folder: python -m model_runtime model make-tiny {model} --weights DIR"
    if known and not known.published:
        return f"{model} ships with the project, in examples/weights: name that folder with --weights"
    return f"python -m model_runtime model fetch {model} --weights {root}"
