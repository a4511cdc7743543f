"""The real sizes, on the meta device, against the published checkpoints' names and shapes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from model_runtime.humo import text, vae
from model_runtime.humo.config import HUMO_1_7B, HUMO_17B, HumoConfig
from model_runtime.humo.transformer import HumoTransformer
from tests.support import humo as golden

COUNTS = {"17B": 1583, "1_7B": 1193, "vae": 194, "t5_umt5_xxl": 242}
"""Tensors of each published checkpoint."""


def shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize(("name", "config"), [("17B", HUMO_17B), ("1_7B", HUMO_1_7B)])
def test_transformer_has_exactly_the_published_names_and_shapes(name: str, config: HumoConfig) -> None:
    """No name is missing and none is ours alone; every shape agrees."""
    with torch.device("meta"):
        ours = shapes(HumoTransformer.from_shape(config.transformer).state_dict())
    published = golden.manifest(name)
    assert len(ours) == len(published) == COUNTS[name]
    assert ours.keys() - published.keys() == set()
    assert published.keys() - ours.keys() == set()
    assert ours == published


def test_vae_names_map_onto_the_published_ones() -> None:
    """diffusers' names and the published ones correspond one to one, shapes included."""
    config = HUMO_17B.vae
    with torch.device("meta"):
        state = vae.build_vae(config).state_dict()
    mapped = {vae.published_name(name, config): tuple(value.shape) for name, value in state.items()}
    assert len(mapped) == len(state) == COUNTS["vae"]
    assert mapped == golden.manifest("vae")


def test_text_encoder_names_map_onto_the_published_ones() -> None:
    """transformers' names and the published ones correspond one to one, but for the second name of the embedding."""
    with torch.device("meta"):
        state = text.build_encoder(HUMO_17B.text).state_dict()
    names = {name: text.published_name(name) for name in state}
    assert [name for name, published in names.items() if published is None] == ["encoder.embed_tokens.weight"]
    mapped = {published: tuple(state[name].shape) for name, published in names.items() if published}
    assert len(mapped) == len(state) - 1 == COUNTS["t5_umt5_xxl"]
    assert mapped == golden.manifest("t5_umt5_xxl")


@pytest.mark.parametrize(
    ("config", "width", "height"), [(HUMO_17B, 1280, 720), (HUMO_1_7B, 480, 832)], ids=["17B", "1_7B"]
)
def test_real_sizes_go_through_on_another_device(config: HumoConfig, width: int, height: int) -> None:
    """97 frames and a reference pass through a model where nothing but its own tensors are, and are decoded."""
    shape, slots, frames = config.transformer, 26, 9
    with torch.device("meta"):
        model = HumoTransformer.from_shape(shape).bfloat16().eval()
        autoencoder = vae.build_vae(config.vae)
        latents = torch.empty(1, 16, slots, height // 8, width // 8)
        given = {
            "timestep": torch.empty(1, dtype=torch.int64),
            "text": torch.empty(1, 77, shape.text_dim),
            "audio": torch.empty(1, slots, 8, 5, 1280),
            "condition": torch.empty(1, shape.in_dim - 16, *latents.shape[2:]) if shape.in_dim > 16 else None,
        }
    with torch.no_grad():
        velocity = model(latents=latents, **given)
    assert velocity.shape == latents.shape
    assert velocity.dtype == torch.float32
    pieces = list(vae.decode(autoencoder, velocity[0, :, :3]))
    assert sum(piece.shape[1] for piece in pieces) == frames
    assert {tuple(piece.shape[2:]) for piece in pieces} == {(height, width)}
    zero = vae.zero_latent(autoencoder, latent_frames=3, rows=height // 8, columns=width // 8)
    assert zero.shape == (16, 3, height // 8, width // 8)
