"""Fixtures of the worker's and the engines' tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.workers import installation  # noqa: F401 - a fixture


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    ramp = np.linspace(0, 255, 300, dtype=np.uint8)
    Image.fromarray(np.dstack([np.tile(ramp, (400, 1))] * 3)).save(path)
    return path
