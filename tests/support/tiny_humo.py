"""Tiny HuMo weights in the published layout, made once per run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model_runtime.humo.weights.layout import find_model
from model_runtime.humo.weights.tiny import make_tiny

TINY = ("tiny-random", "tiny-random-1.7B")


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights folder by model name; read only."""
    folders = {}
    for name in TINY:
        folders[name] = tmp_path_factory.mktemp("weights") / name
        make_tiny(folders[name], find_model(name))
    return folders


@pytest.fixture
def own_weights(tiny_weights: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Copies that a test may damage."""
    return {name: Path(shutil.copytree(folder, tmp_path / "weights" / name)) for name, folder in tiny_weights.items()}
