"""Batches are what the engine's own functions make of a clip, in an order that needs no memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from model_runtime.humo import audio
from model_runtime.humo import vae as video_vae
from model_runtime.humo.references import encode_references
from model_runtime.training.batches import Batch
from model_runtime.training.examples import Example, latent_share
from model_runtime.training.mixing import Dropout, Mixing, TaskMix
from model_runtime.training.order import Order
from model_runtime.training.stage import Stage
from model_runtime.training.world.clip import Clip
from schemas.errors import InvalidInput
from tests.support.training import NEGATIVE, TINY_WORLD, Clips

_EVERYTHING = Mixing(dropout=Dropout(audio=0, text=0, image=0), tasks=TaskMix(start=100, end=100))
_NOTHING = Mixing(dropout=Dropout(audio=100, text=100, image=100))
_FAMILIES = pytest.mark.parametrize("model", ["tiny-random", "tiny-random-1.7B"])


def _same(left: Batch, right: Batch) -> bool:
    def equal(a: Tensor | None, b: Tensor | None) -> bool:
        return a is b if a is None or b is None else torch.equal(a, b)

    return all(equal(getattr(left, name), getattr(right, name)) for name in vars(left))


def test_an_epoch_shows_each_example_at_most_once() -> None:
    """Epochs differ, batches hold one kind, and what fills no batch has its turn later."""
    order = Order([range(7), range(7, 12)], batch=2, seed=3)
    assert order.per_epoch == 5
    epochs = [[order.indices(5 * epoch + step) for step in range(5)] for epoch in range(12)]
    for epoch in epochs:
        seen = [index for batch in epoch for index in batch]
        assert len(set(seen)) == 10
        assert all(len({index < 7 for index in batch}) == 1 for batch in epoch)
    assert len({tuple(epoch) for epoch in epochs}) == 12
    assert {index for epoch in epochs for batch in epoch for index in batch} == set(range(12))


def test_the_order_has_no_memory() -> None:
    """Any step's examples are the same whatever was asked for before."""
    forward = Order([range(9)], batch=2, seed=1)
    rows = [forward.indices(step) for step in range(20)]
    assert [Order([range(9)], batch=2, seed=1).indices(step) for step in reversed(range(20))] == rows[::-1]
    assert [Order([range(9)], batch=2, seed=2).indices(step) for step in range(20)] != rows


def test_too_few_examples_are_refused() -> None:
    """Where no kind fills a batch, that is said at once."""
    with pytest.raises(InvalidInput, match="2 and 1 examples of a kind, expected at least one batch of 3"):
        Order([range(2), range(1)], batch=3, seed=0)


def test_masks_at_latent_resolution() -> None:
    """Latent frame 0 is video frame 0, latent frame 1 the mean of frames 1 to 4; a cell is 8 pixels square."""
    mask = np.zeros((5, 16, 24), np.bool_)
    mask[0, :8, 8:16] = True
    mask[2, 8:16, :4] = True
    share = latent_share(mask)
    wanted = torch.zeros(2, 2, 3)
    wanted[0, 0, 1] = 1
    wanted[1, 1, 0] = 0.5 / 4
    assert torch.equal(share, wanted)


@_FAMILIES
def test_a_batch_is_what_the_engine_would_show(model: str, tiny_clips: dict[str, Clips]) -> None:
    """References, speech, text and noise stand where the engine puts them, for both families."""
    clips = tiny_clips[model]
    batch = clips.batches(Stage.STAGE2, steps=4, mixing=_EVERYTHING).batch(1)
    slots = batch.latents.shape[2] - 3
    clip, example = _shown(clips, batch, row=0)
    assert slots == len(clip.references)
    assert torch.equal(example.latents, video_vae.encode(clips.loaded.vae, _video(clip.frames)))
    variants = [
        encode_references(
            clips.loaded.vae,
            [Image.fromarray(TINY_WORLD.reference(clip.recipe, place, variant)) for place in range(slots)],
            width=32,
            height=32,
        )
        for variant in range(2)
    ]
    shown = batch.latents[0, :, 3:] if batch.condition is None else batch.condition[0, 4:, 3:]
    assert any(torch.equal(shown, variant) for variant in variants)
    if batch.condition is not None:
        assert torch.equal(batch.condition[0, :4, :, 0, 0], torch.tensor([0.0] * 3 + [1.0] * slots).expand(4, -1))
        grey = video_vae.zero_latent(clips.loaded.vae, latent_frames=3, rows=4, columns=4)
        assert torch.equal(batch.condition[0, 4:, :3], grey)
    features = audio.per_frame(clips.loaded.speech(clip.audio))
    assert torch.equal(batch.audio[0], audio.with_references(audio.windows(features, 3), slots))
    states = clips.loaded.text(clip.caption)
    assert int(batch.is_token[0].sum()) == len(states)
    assert torch.equal(clips.loaded.text.encode(batch.tokens[:1, : len(states)]), states)


def _video(frames: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 255 * 2 - 1


def _shown(clips: Clips, batch: Batch, *, row: int) -> tuple[Clip, Example]:
    """Which clip a row is of: the one whose data are the noisy latents without their noise."""
    sigma = (batch.timestep[row] + 0.5) / 1000
    data = batch.latents[row, :, :3] - sigma * batch.target[row, :, :3]
    every = [clips.examples.example(index) for index in range(len(clips.examples))]
    index = min(range(len(every)), key=lambda at: float((every[at].latents - data).square().mean()))
    torch.testing.assert_close(every[index].latents, data, atol=0.02, rtol=0)
    return TINY_WORLD.clip(index), every[index]


@_FAMILIES
def test_dropped_conditions_are_the_engines_absent_ones(model: str, tiny_clips: dict[str, Clips]) -> None:
    """No text is the negative prompt, no speech zero windows, no picture the family's own absent form."""
    clips = tiny_clips[model]
    batch = clips.batches(Stage.STAGE2, steps=4, mixing=_NOTHING).batch(0)
    total = batch.latents.shape[2]
    negative = clips.loaded.text(NEGATIVE)
    assert torch.equal(clips.loaded.text.encode(batch.tokens[:1]), negative)
    assert batch.is_token.all()
    assert not batch.audio.any()
    if batch.condition is None:
        assert not batch.latents[:, :, 3:].any()
    else:
        grey = video_vae.zero_latent(clips.loaded.vae, latent_frames=total, rows=4, columns=4)
        assert torch.equal(batch.condition[0, 4:], grey)


@_FAMILIES
def test_what_the_loss_looks_at(model: str, tiny_clips: dict[str, Clips]) -> None:
    """Mouths weigh more, a sample's video has mean weight 1, overwritten slots have none."""
    clips = tiny_clips[model]
    batch = clips.batches(Stage.STAGE1, steps=4, mouth=4.0).batch(0)
    video, tail = batch.weight[:, 0, :3], batch.weight[:, 0, 3:]
    torch.testing.assert_close(video.mean((1, 2, 3)), torch.ones(2))
    for sample in video:
        assert float(sample.max() / sample.min()) == pytest.approx(5)
    assert bool((tail == (0 if model.endswith("1.7B") else 1)).all())
    flat = clips.batches(Stage.STAGE1, steps=4, mouth=0.0).batch(0)
    assert torch.equal(flat.weight[:, :, :3], torch.ones_like(flat.weight[:, :, :3]))


def test_batches_are_a_function_of_seed_and_step(tiny_clips: dict[str, Clips]) -> None:
    """The same step is the same batch in any order of asking; another seed or step is another one."""
    clips = tiny_clips["tiny-random"]
    first = clips.batches(Stage.STAGE2, steps=6)
    rows = [first.batch(step) for step in range(6)]
    again = clips.batches(Stage.STAGE2, steps=6)
    assert all(_same(again.batch(step), rows[step]) for step in reversed(range(6)))
    assert not _same(clips.batches(Stage.STAGE2, steps=6, seed=1).batch(0), rows[0])


def test_ranks_share_a_batch(tiny_clips: dict[str, Clips]) -> None:
    """The ranks' parts one after the other are the batch of a single rank, and uneven shares are refused."""
    batches = tiny_clips["tiny-random"].batches(Stage.STAGE1, steps=2)
    whole = batches.batch(1)
    parts = [batches.batch(1, rank=rank, ranks=2) for rank in range(2)]
    assert torch.equal(torch.cat([part.latents for part in parts]), whole.latents)
    assert torch.equal(torch.cat([part.timestep for part in parts]), whole.timestep)
    with pytest.raises(InvalidInput, match="a batch of 2 on 3 ranks"):
        batches.batch(0, rank=0, ranks=3)


def test_the_base_has_one_placeholder_slot(tiny_clips: dict[str, Clips]) -> None:
    """Without pictures every sample has one slot, however many people it shows."""
    batches = tiny_clips["tiny-random"].batches(Stage.BASE, steps=4, size=8)
    assert batches.batch(0).latents.shape == (8, 16, 4, 4, 4)
