"""Named streams of random numbers: each decision has its own, so that a new one leaves the others as they were."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class Streams:
    """Generators by name, derived from non-negative integers alone: the same in every process."""

    entropy: tuple[int, ...]

    def of(self, name: str) -> np.random.Generator:
        """The stream `name`, from its beginning."""
        word = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence((*self.entropy, word))))

    def pick(self, name: str, options: Sequence[T]) -> T:
        """One of the options, each as likely, decided by the stream `name` alone."""
        return options[int(self.of(name).integers(len(options)))]

    def value(self, name: str, kind: type[E]) -> E:
        """One value of a closed list."""
        return self.pick(name, list(kind))
