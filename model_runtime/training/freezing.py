"""Which weights a stage trains, by their published names, and how the speech modules are off before their stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_runtime.humo.transformer import AudioAttention, HumoTransformer
from model_runtime.training.stage import Stage


def is_of_speech(name: str) -> bool:
    """Is that weight of the transformer part of the speech modules?"""
    return name.startswith("audio_proj.") or ".audio_cross_attn_wrapper." in name


def is_of_self_attention(name: str) -> bool:
    return ".self_attn." in name


def trains(stage: Stage, name: str, *, is_full: bool = False) -> bool:
    """Does the stage train that weight of the transformer (paper, progressive training)?

    Args:
        is_full: full fine-tuning, which the paper compares with: all weights, but no speech before its stage.
    """
    if stage is Stage.BASE or (is_full and not stage.has_speech):
        return not is_of_speech(name)
    if is_full:
        return True
    if stage is Stage.STAGE1:
        return is_of_self_attention(name)
    return is_of_self_attention(name) or is_of_speech(name)


def freeze(transformer: HumoTransformer, stage: Stage, *, is_full: bool = False) -> None:
    """Let gradients reach what the stage trains, and nothing else of the transformer."""
    for name, parameter in transformer.named_parameters():
        parameter.requires_grad_(trains(stage, name, is_full=is_full))


def freeze_all(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.requires_grad = False


@torch.no_grad()
def silence(transformer: HumoTransformer) -> None:
    """Switch the speech modules off: their output layers are zero, so that they add nothing to the pictures.

    This holds for the engine that renders the weights as well. The other speech weights are left as they are: training
    can start from there.
    """
    for module in transformer.modules():
        if isinstance(module, AudioAttention):
            output = module.audio_cross_attn.o
            output.weight.zero_()
            output.bias.zero_()


def mute(transformer: HumoTransformer) -> None:
    """Skip the speech modules of a transformer that is silent: they would add zeros, at a tenth of a step's time."""
    for module in transformer.modules():
        if isinstance(module, AudioAttention):
            setattr(module, "forward", _nothing)  # noqa: B010 - torch looks it up on the instance; a class keeps its own


def _nothing(x: Tensor, _audio: Tensor) -> Tensor:
    return x.new_zeros(())
