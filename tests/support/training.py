"""A tiny HuMo of each family with a few encoded clips of the world: enough to train for some steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from model_runtime.humo.loaded import Loaded, load_model
from model_runtime.humo.text import build_encoder
from model_runtime.humo.transformer import HumoTransformer
from model_runtime.humo.weights.layout import find_model
from model_runtime.humo.weights.tiny import make_tiny
from model_runtime.training.assembly import ZeroLatents
from model_runtime.training.batches import Batches
from model_runtime.training.examples import WorldExamples, tokens
from model_runtime.training.stage import Stage
from model_runtime.training.trainee import Trainee
from model_runtime.training.world.world import World

TINY_WORLD = World(width=32, height=32, frames=9, supersample=2, duos=0.4)
NEGATIVE = "blurred, dull"


@dataclass(frozen=True, kw_only=True)
class Clips:
    """What is made once and only read."""

    weights: Path
    loaded: Loaded
    examples: WorldExamples

    def batches(self, stage: Stage, *, steps: int, size: int = 2, seed: int = 0, **given: object) -> Batches:
        return Batches(
            given.pop("examples", self.examples),  # type: ignore[arg-type]
            family=self.loaded.transformer.shape.family,
            zero=ZeroLatents(self.loaded),
            negative=tokens(self.loaded.text, NEGATIVE),
            stage=stage,
            size=size,
            steps=steps,
            seed=seed,
            **given,  # type: ignore[arg-type]
        )

    def trainee(self, stage: Stage, *, seed: int = 0, train_text: bool = False) -> Trainee:
        """A fresh copy with random weights of its own."""
        config = find_model("tiny-random").config
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            transformer = HumoTransformer.from_shape(self.loaded.transformer.shape)
            text = build_encoder(config.text)
        return Trainee.for_stage(stage, transformer, text, train_text=train_text)


@pytest.fixture(scope="session")
def tiny_clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clips]:
    """By model name, one of each family."""
    made = {}
    for name in ("tiny-random", "tiny-random-1.7B"):
        weights = tmp_path_factory.mktemp("training-weights")
        make_tiny(weights, find_model(name))
        loaded = load_model(weights, find_model(name), device=torch.device("cpu"), dtype=torch.float32)
        examples = WorldExamples(TINY_WORLD, loaded, count=8, variants=2)
        made[name] = Clips(weights=weights, loaded=loaded, examples=examples)
    return made
