"""What plans say a clip costs, against the operations that the model really does."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model_runtime.humo.transformer import HumoTransformer
from model_runtime.humo.weights.layout import find_model
from schemas.model_spec import HUMO_1_7B, HUMO_17B, TINY_RANDOM, ModelSpec

SPECS = {spec.name: spec for spec in (HUMO_17B, HUMO_1_7B, TINY_RANDOM)}
CLOSE = 0.03


def counted(name: str, *, width: int, height: int, num_frames: int, references: int, device: str) -> int:
    """Operations of one forward pass, counted by torch at its operators."""
    shape = find_model(name).config.transformer
    with torch.device(device):
        model = HumoTransformer.from_shape(shape).eval()
        slots = (num_frames - 1) // 4 + 1 + max(1, references)
        grid = (slots, height // 8, width // 8)
        latents = torch.zeros(1, 16, *grid)
        condition = torch.zeros(1, shape.in_dim - 16, *grid) if shape.in_dim > 16 else None
        audio = torch.zeros(1, slots, shape.audio_window, shape.audio_bands, shape.audio_channels)
        text = torch.zeros(1, 20, shape.text_dim)
        # The counter knows no formula for the fused kernel of a CPU; this one is two products it can see.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(latents, torch.tensor([999]), text, audio, condition)
    return int(counter.get_total_flops())


def estimated(spec: ModelSpec, *, width: int, height: int, num_frames: int, references: int) -> float:
    assert spec.transformer is not None
    return spec.transformer.forward_flops(width=width, height=height, num_frames=num_frames, references=references)


@pytest.mark.parametrize(
    ("name", "width", "height", "num_frames", "references"),
    [
        ("humo-17B", 832, 480, 97, 1),
        ("humo-17B", 1280, 720, 97, 3),
        ("humo-17B", 480, 832, 25, 0),
        ("humo-1.7B", 832, 480, 97, 1),
        ("humo-1.7B", 480, 480, 49, 12),
    ],
)
def test_the_formula_is_what_the_real_sizes_do(
    name: str, width: int, height: int, num_frames: int, references: int
) -> None:
    """Counted on a device without memory, over sizes, lengths and references: within 3 percent."""
    clip = {"width": width, "height": height, "num_frames": num_frames, "references": references}
    assert estimated(SPECS[name], **clip) == pytest.approx(counted(name, device="meta", **clip), rel=CLOSE)


@pytest.mark.parametrize("references", [0, 2])
def test_the_formula_is_what_the_tiny_model_does(references: int) -> None:
    """Really computed. What the formula leaves out (embeddings, head) weighs more in a model so narrow."""
    clip = {"width": 256, "height": 256, "num_frames": 17, "references": references}
    found = counted(TINY_RANDOM.name, device="cpu", **clip)
    assert estimated(TINY_RANDOM, **clip) == pytest.approx(found, rel=CLOSE)


def test_shapes_of_plans_are_shapes_of_models() -> None:
    """Plans know a model's geometry without importing it; it is the same geometry."""
    for name, spec in SPECS.items():
        shape, planned = find_model(name).config.transformer, spec.transformer
        assert planned is not None
        assert (planned.layers, planned.dim, planned.ffn_dim) == (shape.num_layers, shape.dim, shape.ffn_dim)
        assert (planned.audio_dim, planned.audio_tokens) == (shape.audio_dim, shape.audio_tokens)
        assert (planned.text_len, planned.spatial_patch) == (shape.text_len, shape.pixels_per_token)
