"""Evaluation needs torch and torchmetrics, which the orchestrator's environment has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.without import MODEL, are_here, without

_IS_HERE = are_here((*MODEL, "torchmetrics"))

if _IS_HERE:
    from tests.support.tiny_humo import own_weights, tiny_weights  # noqa: F401 - fixtures are used by name


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return None if _IS_HERE else without(parent, module_path, "worker,evaluation")
