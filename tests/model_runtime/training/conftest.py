"""Training needs torch, which the orchestrator's environment has not; the world beside it does without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.without import MODEL, are_here, without

_IS_HERE = are_here((*MODEL, "accelerate"))

if _IS_HERE:
    from tests.support.training import Clips, tiny_clips  # noqa: F401 - fixtures are used by name


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return (
        None
        if _IS_HERE or module_path.parent != Path(__file__).parent
        else without(parent, module_path, "worker,training")
    )
