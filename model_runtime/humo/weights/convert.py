"""Published pickles to safetensors, once, each in an isolated process."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from media.process import ProcessLimits, kill_group, start
from model_runtime.humo.weights.checkpoint import converted_path
from model_runtime.humo.weights.layout import HumoModel, Source
from model_runtime.humo.weights.lockfile import measure, write_lock
from model_runtime.humo.weights.remedy import BRING
from schemas.errors import InvalidInput
from schemas.weights import ConvertedFile, WeightsLock

_CHILD = Path(__file__).with_name("convert_child.py")
_GIB = 2**30
_SAID = 2000


def convert_files(pickles: Sequence[Path], *, limits: ProcessLimits | None = None) -> tuple[Path, ...]:
    """Write the safetensors form of each `.pth` beside it, all or none, and say where.

    Raises:
        InvalidInput: a file is missing, holds anything but plain tensors, or costs more than the limits.
    """
    missing = [str(pickle) for pickle in pickles if not pickle.is_file()]
    if missing:
        raise InvalidInput(f"{', '.join(missing)} is missing", fix=BRING)
    targets = [converted_path(pickle) for pickle in pickles]
    parts = [target.with_name(f"{target.name}.part") for target in targets]
    try:
        _run([str(path) for pair in zip(pickles, parts, strict=True) for path in pair], limits or _limits(pickles))
        for part, target in zip(parts, targets, strict=True):
            part.replace(target)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return tuple(targets)


def _limits(pickles: Sequence[Path]) -> ProcessLimits:
    """Mapped input and one tensor's copy, over torch's own."""
    mapped = 2 * max((pickle.stat().st_size for pickle in pickles), default=0)
    return ProcessLimits(cpu_s=3600, file_bytes=64 * _GIB, address_bytes=mapped + 32 * _GIB)


def _run(arguments: list[str], limits: ProcessLimits) -> None:
    with tempfile.TemporaryFile() as said:
        child = start([sys.executable, "-I", str(_CHILD), *arguments], limits=limits, stderr=said)
        try:
            code = child.wait()
        finally:
            kill_group(child)
        said.seek(0)
        reason = said.read().decode(errors="replace")[-_SAID:].strip()
    if code:
        raise InvalidInput(
            f"the weights cannot be converted: {reason or f'the converter ended with {code}'}",
            fix="fetch the published file again; a checkpoint that holds more than tensors is not to be trusted",
        )


def convert_model(root: Path, model: HumoModel, lock: WeightsLock) -> WeightsLock:
    """Convert what is not converted yet, and return the lock that says so (also written).

    Raises:
        InvalidInput: a pickle is not the locked one, or cannot be converted.
    """
    waiting = [source for source in model.layout.pickles if not _is_converted(root, source, lock)]
    for source in waiting:
        locked, pickle = lock.files.get(source.local), root / source.local
        if not pickle.is_file() or locked is None or measure(pickle) != locked:
            raise InvalidInput(
                f"{pickle} is not the file that was locked",
                fix=f"python -m model_runtime model fetch {model.name} --weights {root}",
            )
    if not waiting:
        return lock
    converted = dict(lock.converted)
    targets = convert_files([root / source.local for source in waiting])
    for source, target in zip(waiting, targets, strict=True):
        made = measure(target)
        name = target.relative_to(root).as_posix()
        converted[name] = ConvertedFile(sha256=made.sha256, size=made.size, source=source.local)
    lock = dataclasses.replace(lock, converted=converted)
    write_lock(root, lock)
    return lock


def _is_converted(root: Path, source: Source, lock: WeightsLock) -> bool:
    target = converted_path(root / source.local)
    return target.is_file() and target.relative_to(root).as_posix() in lock.converted
