"""Which weights a model is made of: the lock file's content, and the one digest that stands for it in render keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.digest import digest
from schemas.errors import InvalidInput

_FORMAT = 1


def lock_name(model: str) -> str:
    """File name of a model's lock, at the top of the weights folder."""
    return f"{model}.lock.json"


@dataclass(frozen=True, kw_only=True)
class LockedFile:
    """One file as it must lie under the weights folder."""

    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class ConvertedFile:
    """A safetensors file made from a published pickle."""

    sha256: str
    size: int
    source: str
    """Path of the pickle, as in the lock's `files`."""


@dataclass(frozen=True, kw_only=True)
class WeightsLock:
    """Revisions and digests as they were resolved once; paths are relative to the weights folder."""

    model: str
    repositories: Mapping[str, str | None]
    """Repository id -> commit; None for weights that come from no repository."""
    files: Mapping[str, LockedFile]
    converted: Mapping[str, ConvertedFile] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 over the published files' paths and digests; where and how they were converted changes nothing."""
        return digest([self.model, sorted((path, file.sha256) for path, file in self.files.items())])

    def as_json(self) -> str:
        """What the lock file holds."""
        value = {
            "format": _FORMAT,
            "model": self.model,
            "digest": self.digest,
            "repositories": dict(self.repositories),
            "files": {path: {"sha256": file.sha256, "size": file.size} for path, file in self.files.items()},
            "converted": {
                path: {"sha256": file.sha256, "size": file.size, "source": file.source}
                for path, file in self.converted.items()
            },
        }
        return json.dumps(value, indent=1, sort_keys=True) + "\n"

    @classmethod
    def parse(cls, text: str, *, name: str = "the lock file") -> WeightsLock:
        """The value behind a lock file's text.

        Raises:
            InvalidInput: it is no lock file, of another format, or edited by hand.
        """
        try:
            value: dict[str, Any] = json.loads(text)
            lock = cls(
                model=value["model"],
                repositories=value["repositories"],
                files={path: LockedFile(**file) for path, file in value["files"].items()},
                converted={path: ConvertedFile(**file) for path, file in value["converted"].items()},
            )
            said = (value["format"], value["digest"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _no_lock(name, f"{type(error).__name__} {error}") from error
        if said != (_FORMAT, lock.digest):
            raise _no_lock(name, f"format and digest are {said}, expected {(_FORMAT, lock.digest)}")
        return lock


def _no_lock(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{name} is no lock file of weights: {why}",
        fix="fetch the model again into an empty weights folder; never edit a lock file",
    )
