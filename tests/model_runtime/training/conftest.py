"""Training needs torch, which the orchestrator's environment has not; the world beside it does without."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

_NEEDED = ("torch", "diffusers", "transformers", "accelerate")
_IS_HERE = all(find_spec(name) for name in _NEEDED)


class _WithoutTorch(pytest.Module):
    def collect(self) -> list[pytest.Item]:
        pytest.skip("training's libraries are not installed: pip install -c constraints.txt -e '.[worker,training]'")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if _IS_HERE or module_path.parent != Path(__file__).parent:
        return None
    return _WithoutTorch.from_parent(parent, path=module_path)


if _IS_HERE:

    @pytest.fixture(autouse=True, scope="session")
    def _one_thread() -> None:
        """Small tensors on a shared machine: a second thread only costs."""
        import torch

        torch.set_num_threads(1)

    from tests.support.training import Clips, tiny_clips  # noqa: F401 - fixtures are used by name
