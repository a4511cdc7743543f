"""Test modules whose libraries are not installed: skipped as a whole, with what to install."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

MODEL = ("torch", "diffusers", "transformers")
"""What the model runtime stands on; the orchestrator's environment has none of it."""


def are_here(libraries: tuple[str, ...]) -> bool:
    """Whether all of them can be imported."""
    return all(find_spec(name) for name in libraries)


class Without(pytest.Module):
    """Stands for a module that cannot be imported here.

    Args:
        extras: what brings the libraries, as pip has them.
    """

    extras = ""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(f"its libraries are missing: pip install -c constraints.txt -e '.[{self.extras}]'")


def without(parent: pytest.Collector, path: Path, extras: str) -> Without:
    """A collector in place of the module at `path`."""
    module = Without.from_parent(parent, path=path)
    module.extras = extras
    return module
