"""A little footage and a tiny autoencoder that several tests look at. Without torch, every module here is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_runtime.humo.config import VaeConfig
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World
from tests.support.without import MODEL, are_here, without

_IS_HERE = are_here((*MODEL, "accelerate"))

WORLD = World(width=32, height=32, frames=9, supersample=2, duos=0.3)
TINY = VaeConfig(
    dim=4, dim_mult=(1, 2, 3), num_res_blocks=1, temporal_downsample=(True, True), patch_size=2, is_standardised=True
)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return None if _IS_HERE else without(parent, module_path, "worker,training")


if _IS_HERE:
    from model_runtime.training.autoencoder.footage import Footage, footage

    @pytest.fixture(scope="session")
    def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder as a run makes it: `train` of 12 clips, `val` of 4."""
        place = tmp_path_factory.mktemp("footage")
        footage(WORLD, place / "train", clips=12)
        footage(WORLD, place / "val", clips=4, split=Split.VAL)
        return place

    @pytest.fixture(scope="session")
    def seen(drawn: Path) -> Footage:
        return footage(WORLD, drawn / "train", clips=12)

    @pytest.fixture(scope="session")
    def unseen(drawn: Path) -> Footage:
        return footage(WORLD, drawn / "val", clips=4, split=Split.VAL)
