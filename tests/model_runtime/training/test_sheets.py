"""Sample sheets show what the engine's loop makes of the weights as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model_runtime.training.assembly import ZeroLatents
from model_runtime.training.sheets import SampleSheet
from model_runtime.training.stage import Stage
from model_runtime.training.trainee import Trainee
from model_runtime.training.world.identity import Split
from tests.support.training import TINY_WORLD, Clips


@pytest.mark.parametrize(
    ("model", "stage"),
    [("tiny-random", Stage.BASE), ("tiny-random", Stage.STAGE2), ("tiny-random-1.7B", Stage.STAGE1)],
)
def test_a_sheet_is_drawn_from_the_weights(
    model: str, stage: Stage, tiny_clips: dict[str, Clips], tmp_path: Path
) -> None:
    """Truth above, render below; the same weights draw the same picture, other weights another one."""
    clips = tiny_clips[model]
    loaded = clips.loaded
    sheet = SampleSheet(TINY_WORLD, loaded, tmp_path, zero=ZeroLatents(loaded), stage=stage, clips=1, steps=2)
    trainee = Trainee(loaded.transformer, loaded.text.encoder)
    sheet(trainee, 1)
    sheet(trainee, 2)
    first, second = (np.asarray(Image.open(tmp_path / f"step-0000000{step}.png")) for step in (1, 2))
    assert first.shape == (64, 6 * 32, 3)
    assert np.array_equal(first, second)
    clip = TINY_WORLD.clip(0, Split.VAL)
    assert np.array_equal(first[:32, :32], clip.references[0])
    assert np.array_equal(first[:32, 32:64], clip.frames[0])
    rendered = sheet.render(trainee, clip, seed=0)
    assert np.array_equal(first[32:, -32:], rendered[-1])
    head = loaded.transformer.head.head
    kept = head.weight.detach().clone()
    with torch.no_grad():
        head.weight.zero_()
        changed = sheet.render(trainee, clip, seed=0)
        head.weight.copy_(kept)
    assert not np.array_equal(changed, rendered)
