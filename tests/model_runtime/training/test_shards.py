"""Training from a finished dataset: its samples are the examples that the world itself would have given."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from model_runtime.dataset.shard import DamagedShard
from model_runtime.training.examples import WorldExamples
from model_runtime.training.shards import ShardExamples
from model_runtime.training.stage import Stage
from model_runtime.training.world.world import World
from schemas.dataset import read_order
from schemas.errors import InvalidInput
from tests.support.datasets import EXACT, run_steps, workshop_of
from tests.support.training import Clips

CLIPS = 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    order = {
        "name": "tiny",
        "source": {"kind": "world", "clips": CLIPS, "variants": 2, "duos": 0.0, "seed": 7},
        "frames": 9,
        "width": 32,
        "height": 32,
        "adapters": EXACT,
        # Every picture is to be kept.
        "rules": {"turn_deg": 0.0},
    }
    run_steps(workshop_of(read_order(order), root))
    return root


def test_examples_of_shards_are_those_of_the_world(dataset: Path, tiny_clips: dict[str, Clips]) -> None:
    """Words, masks and shapes to the last bit; pixels and sound as near as an mp4 and 16 bits are."""
    loaded = tiny_clips["tiny-random"].loaded
    read = ShardExamples(dataset, loaded)
    drawn = WorldExamples(World(seed=7, width=32, height=32, frames=9, duos=0.0), loaded, count=CLIPS, variants=2)
    assert len(read) == CLIPS
    for index in range(CLIPS):
        ours, theirs = read.example(index), drawn.example(index)
        assert read.people(index) == drawn.people(index) == 1
        assert read.shape(index) == tuple(ours.latents.shape[1:])
        for name in ("tokens", "face", "mouth"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
        assert ours.references.shape == theirs.references.shape
        assert (ours.latents - theirs.latents).abs().mean() < 0.25 * theirs.latents.std()
        assert (ours.features - theirs.features).abs().mean() < 0.05 * theirs.features.std()


def test_a_batch_is_made_of_shards(dataset: Path, tiny_clips: dict[str, Clips]) -> None:
    """Stage 2 asks for everything that an example has."""
    clips = tiny_clips["tiny-random"]
    batch = clips.batches(Stage.STAGE2, steps=1, examples=ShardExamples(dataset, clips.loaded)).batch(0)
    assert batch.latents.shape[0] == 2
    assert torch.isfinite(batch.target).all()


def test_a_damaged_shard_stops_before_training_begins(
    dataset: Path, tmp_path: Path, tiny_clips: dict[str, Clips]
) -> None:
    """And a folder that holds no finished dataset is no dataset."""
    loaded = tiny_clips["tiny-random"].loaded
    shutil.copytree(dataset, tmp_path / "copy")
    shard = next((tmp_path / "copy").glob("3-speech/*.tar"))
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DamagedShard, match="build the dataset again"):
        ShardExamples(tmp_path / "copy", loaded)
    with pytest.raises(InvalidInput, match="no finished dataset"):
        ShardExamples(tmp_path, loaded)
