"""Evaluation needs torch and torchmetrics, which the orchestrator's environment has not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

_NEEDED = ("torch", "diffusers", "transformers", "torchmetrics")
_IS_HERE = all(find_spec(name) for name in _NEEDED)

if _IS_HERE:
    from tests.support.tiny_humo import own_weights, tiny_weights  # noqa: F401 - fixtures are used by name


class _WithoutTorch(pytest.Module):
    def collect(self) -> list[pytest.Item]:
        pytest.skip("evaluation's libraries are missing: pip install -c constraints.txt -e '.[worker,evaluation]'")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if _IS_HERE:
        return None
    return _WithoutTorch.from_parent(parent, path=module_path)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors on a shared machine: a second thread only costs."""
    import torch

    torch.set_num_threads(1)
