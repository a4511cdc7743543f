"""Gradients reach exactly what a stage trains, and speech is off until its stage."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_runtime.humo.config import TINY_RANDOM
from model_runtime.humo.transformer import HumoTransformer
from model_runtime.training.freezing import freeze, is_of_speech, silence
from model_runtime.training.stage import Stage

_SELF_ATTENTION = {"q.weight", "q.bias", "k.weight", "k.bias", "v.weight", "v.bias", "o.weight", "o.bias"} | {
    "norm_q.weight",
    "norm_k.weight",
}


def _transformer() -> HumoTransformer:
    torch.manual_seed(0)
    return HumoTransformer.from_shape(TINY_RANDOM.transformer).eval()


def _velocity(transformer: HumoTransformer, audio: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = transformer.shape
    return transformer(
        latents=torch.randn(1, 16, 3, 4, 4, generator=generator),
        timestep=torch.tensor([500]),
        text=torch.randn(1, 5, shape.text_dim, generator=generator),
        audio=audio,
        condition=torch.randn(1, 20, 3, 4, 4, generator=generator),
    )


def _sound(seed: int) -> Tensor:
    shape = TINY_RANDOM.transformer
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, shape.audio_window, shape.audio_bands, shape.audio_channels, generator=generator)


@pytest.mark.parametrize("stage", list(Stage))
def test_gradients_reach_exactly_what_the_stage_trains(stage: Stage) -> None:
    """Base: all but the speech modules; stage 1: self-attention; stage 2: self-attention and the speech modules."""
    transformer = _transformer()
    blocks = range(transformer.shape.num_layers)
    names = {name for name, _ in transformer.named_parameters()}
    attention = {f"blocks.{block}.self_attn.{leaf}" for block in blocks for leaf in _SELF_ATTENTION}
    speech = {name for name in names if name.startswith("audio_proj") or "audio_cross_attn" in name}
    assert attention < names
    # Per block a norm of 2, an attention of 10; three layers and a norm of the projector.
    assert len(speech) == len(blocks) * 12 + 8
    wanted = {Stage.BASE: names - speech, Stage.STAGE1: attention, Stage.STAGE2: attention | speech}[stage]

    freeze(transformer, stage)
    _velocity(transformer, _sound(1)).square().mean().backward()
    reached = {name for name, value in transformer.named_parameters() if value.grad is not None and value.grad.any()}
    assert reached == wanted


@pytest.mark.parametrize("stage", list(Stage))
def test_full_fine_tuning_trains_all_but_speech_before_its_stage(stage: Stage) -> None:
    """What the paper compares with: nothing is spared but what is silent."""
    transformer = _transformer()
    freeze(transformer, stage, is_full=True)
    frozen = {name for name, value in transformer.named_parameters() if not value.requires_grad}
    speech = {name for name, _ in transformer.named_parameters() if is_of_speech(name)}
    assert frozen == (set() if stage.has_speech else speech)


def test_another_stage_thaws_again() -> None:
    """Freezing for a stage forgets what an earlier one froze."""
    transformer = _transformer()
    freeze(transformer, Stage.STAGE1)
    freeze(transformer, Stage.BASE)
    assert transformer.patch_embedding.weight.requires_grad


def test_silenced_speech_modules_change_nothing() -> None:
    """Once silenced, what is heard makes no difference, and no block adds anything for it."""
    transformer = _transformer()
    with torch.no_grad():
        assert not torch.equal(_velocity(transformer, _sound(1)), _velocity(transformer, _sound(2)))
        silence(transformer)
        assert torch.equal(_velocity(transformer, _sound(1)), _velocity(transformer, _sound(2)))
        assert (
            not transformer.blocks[0].audio_cross_attn_wrapper(torch.randn(1, 12, 64), torch.randn(1, 3, 16, 48)).any()
        )


def test_silenced_speech_modules_can_learn() -> None:
    """Stage 2 starts from silence: its first gradient reaches the layers that were made zero."""
    transformer = _transformer()
    silence(transformer)
    freeze(transformer, Stage.STAGE2)
    _velocity(transformer, _sound(1)).square().mean().backward()
    for block in transformer.blocks:
        assert block.audio_cross_attn_wrapper.audio_cross_attn.o.weight.grad.any()
