"""A few steps of tiny-random's base as one of several ranks; a rank may be told to stop while the others are not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]  # ships no types

from model_runtime.training.assembly import Sources, assemble
from model_runtime.training.stage import Stage
from model_runtime.training.trainer import Settings
from model_runtime.training.world.world import World

_WORLD = World(width=32, height=32, frames=5, supersample=1)


def train(weights: Path, out: Path, *, stopped_rank: int) -> bool:
    """Was it trained to its end?"""
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    trainer = assemble(
        Sources(weights=weights, model="tiny-random", start_from=None, world=_WORLD, clips=8),
        Settings(stage=Stage.BASE, steps=3, warmup=1),
        out,
        batch=4,
        accelerator=accelerator,
    )
    trainer.start(resume=False)
    if accelerator.process_index == stopped_rank:
        trainer.stop()
    return trainer.run()


if __name__ == "__main__":
    is_finished = train(Path(sys.argv[1]), Path(sys.argv[2]), stopped_rank=int(sys.argv[3]))
    (Path(sys.argv[2]) / f"rank-{os.environ['RANK']}").write_text(str(is_finished))
