"""A model without memory gets its weights, on the device and in the dtype where they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from model_runtime.humo.weights.blueprint import Blueprint
from model_runtime.humo.weights.checkpoint import Checkpoint, compare, require
from model_runtime.humo.weights.streaming import stream

Model = TypeVar("Model", bound=nn.Module)
OnTensor = Callable[[int, int], None]
"""Told how many of how many tensors are in place; raises to stop."""


def load(
    blueprint: Blueprint[Model],
    checkpoint: Checkpoint,
    *,
    device: torch.device,
    dtype: torch.dtype,
    on_tensor: OnTensor | None = None,
) -> Model:
    """Fill the blueprint's model and give it back, on that device and in that dtype, in inference mode.

    Weights are put in place of the meta ones: copying into a meta tensor would do nothing and say nothing.

    Raises:
        InvalidInput: the checkpoint does not fit (before anything is loaded) or cannot be read.
    """
    require(compare(checkpoint, blueprint.wanted, ignored=blueprint.ignored), checkpoint, blueprint.what)
    model, names = blueprint.model, blueprint.names
    wanted = Checkpoint(path=checkpoint.path, tensors={name: checkpoint.tensors[name] for name in names})
    for done, (published, tensor) in enumerate(stream(wanted), start=1):
        _put(model, names[published], tensor.to(device=device, dtype=dtype))
        del tensor
        if on_tensor:
            on_tensor(done, len(names))
    _tie(model)
    empty = [name for name, value in model.state_dict().items() if value.is_meta]
    if empty:
        raise AssertionError(f"weights that nothing filled: {empty}")
    model.eval()
    return model


def _put(model: nn.Module, name: str, value: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    model.get_submodule(path).register_parameter(leaf, nn.Parameter(value, requires_grad=False))


def _tie(model: nn.Module) -> None:
    """Give shared weights their second name again."""
    tie = getattr(model, "tie_weights", None)
    if callable(tie):
        tie()
