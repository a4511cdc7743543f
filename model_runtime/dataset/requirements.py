"""What an adapter of the field needs: packages and weights, looked for before anything is done."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from schemas.errors import InvalidInput

_WHOLE = 4 * 2**20
_PIECE = 2**20


def require(adapter: str, *, packages: Sequence[str], folder: Path, files: Sequence[str], get: str) -> str:
    """Fingerprint of the weights, for the adapter's version.

    Args:
        packages: modules that must be importable.
        folder: where the weights lie.
        files: which must be there.
        get: how to get them, one sentence.

    Raises:
        InvalidInput: naming every package and every file that is missing.
    """
    absent = [name for name in packages if find_spec(name) is None]
    lacking = [name for name in files if not (folder / name).is_file()]
    if absent or lacking:
        parts = [f"packages {', '.join(absent)}"] if absent else []
        parts += [f"{', '.join(lacking)} in {folder}"] if lacking else []
        raise InvalidInput(f"{adapter} cannot be used: missing are {' and '.join(parts)}", fix=get)
    return fingerprint(folder, files)


def fingerprint(folder: Path, files: Sequence[str]) -> str:
    """16 digits over names, sizes, beginnings and ends: large weights are not read as a whole for each start."""
    state = hashlib.sha256()
    for name in sorted(files):
        size = (folder / name).stat().st_size
        state.update(f"{name} {size} ".encode())
        with (folder / name).open("rb") as file:
            state.update(file.read(_WHOLE if size <= _WHOLE else _PIECE))
            if size > _WHOLE:
                file.seek(size - _PIECE)
                state.update(file.read())
    return state.hexdigest()[:16]


def release(package: str) -> str:
    """Version of an installed distribution."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
