"""A checkpoint on disk, by its headers alone, compared with the model it is for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_runtime.humo.weights.header import TensorInfo, read_header
from model_runtime.humo.weights.remedy import BRING
from schemas.errors import InvalidInput

DTYPES = frozenset({"F32", "F16", "BF16"})
"""What may be loaded; quantised repacks need code that is not here."""

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All tensors of one or more safetensors files."""

    path: Path
    """The file that names the others, or the only one."""
    tensors: Mapping[str, TensorInfo]

    @property
    def files(self) -> tuple[Path, ...]:
        """Each file once, in the order of first use."""
        return tuple(dict.fromkeys(info.file for info in self.tensors.values()))


def open_checkpoint(path: Path) -> Checkpoint:
    """Read the headers behind an index, a safetensors file, or a `.pth` by its converted neighbour.

    Raises:
        InvalidInput: a file is missing, damaged or not converted; an index names tensors that its shards lack.
    """
    if path.suffix == ".pth":
        converted = converted_path(path)
        if not converted.is_file():
            raise InvalidInput(
                f"{converted} is missing: {path.name} {'is not converted yet' if path.is_file() else 'is not there'}",
                fix="convert it once: python -m model_runtime model convert" if path.is_file() else BRING,
            )
        path = converted
    if path.suffix != ".json":
        return Checkpoint(path=path, tensors=read_header(path))
    return Checkpoint(path=path, tensors=_sharded(path))


def converted_path(pickle: Path) -> Path:
    """Where the safetensors form of a `.pth` lies."""
    return pickle.with_suffix(".safetensors")


def _sharded(index: Path) -> dict[str, TensorInfo]:
    try:
        names: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(names.values()))
    except FileNotFoundError:
        raise InvalidInput(f"{index} is missing", fix=BRING) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{index} is no index of shards: {error}", fix=BRING) from error
    if any(Path(shard).name != shard for shard in shards):
        raise InvalidInput(f"{index} names files outside its own folder", fix=BRING)
    headers = {shard: read_header(index.parent / shard) for shard in shards}
    absent = [name for name, shard in names.items() if name not in headers[shard]]
    if absent:
        raise InvalidInput(f"{index} promises tensors that its shards lack: {shown(absent)}", fix=BRING)
    return {name: headers[shard][name] for name, shard in names.items()}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a checkpoint has too little, too much, or otherwise than the model."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    misshapen: tuple[str, ...]
    """`name [found], expected [wanted]`."""
    unloadable: tuple[str, ...]
    """`name (dtype)`."""


def compare(
    checkpoint: Checkpoint, wanted: Mapping[str, tuple[int, ...]], *, ignored: Iterable[str] = ()
) -> Comparison:
    """Names, shapes and types against those wanted; extra names with an ignored prefix are expected."""
    prefixes = tuple(ignored)
    found = checkpoint.tensors
    shared = [name for name in wanted if name in found]
    return Comparison(
        missing=tuple(name for name in wanted if name not in found),
        extra=tuple(name for name in found if name not in wanted and not name.startswith(prefixes or "\0")),
        misshapen=tuple(
            f"{name} {list(found[name].shape)}, expected {list(wanted[name])}"
            for name in shared
            if found[name].shape != wanted[name]
        ),
        unloadable=tuple(f"{name} ({found[name].dtype})" for name in shared if found[name].dtype not in DTYPES),
    )


def require(comparison: Comparison, checkpoint: Checkpoint, what: str) -> None:
    """Refuse a checkpoint that cannot fill the model; extra tensors are no reason.

    Raises:
        InvalidInput: tensors are missing, of another shape, or of a type that cannot be loaded.
    """
    faults = [
        f"{len(names)} {kind}: {shown(names)}"
        for kind, names in (
            ("missing", comparison.missing),
            ("of another shape", comparison.misshapen),
            (f"of a type other than {', '.join(sorted(DTYPES))}", comparison.unloadable),
        )
        if names
    ]
    if faults:
        raise InvalidInput(
            f"{checkpoint.path} is no {what}: " + "; ".join(faults),
            fix="point at the published checkpoint of this model, not of another size or a quantised repack",
        )


def shown(names: Iterable[str]) -> str:
    """The first few, and how many more."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
