"""What makes a step quick must not change what it learns: attention, muted speech modules, Muon beside AdamW."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model_runtime.humo.attention import attend
from model_runtime.humo.config import VaeConfig
from model_runtime.humo.vae import build_vae
from model_runtime.training.freezing import mute, silence
from model_runtime.training.kernels import attend_spelled_out
from model_runtime.training.optimiser import Together, is_matrix, muon
from model_runtime.training.sensitivity import channel_weights
from model_runtime.training.stage import Stage
from tests.support.training import Clips


def test_spelled_out_attention_is_attention() -> None:
    """The same numbers and the same gradients."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, size, 3, 8, generator=generator, requires_grad=True) for size in (5, 7, 7))
    for one, other in zip(
        torch.autograd.grad(attend(q, k, v).square().sum(), (q, k, v)),
        torch.autograd.grad(attend_spelled_out(q, k, v).square().sum(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(attend(q, k, v), attend_spelled_out(q, k, v), atol=1e-6, rtol=1e-5)


def test_muted_is_silent(tiny_clips: dict[str, Clips]) -> None:
    """A silent transformer says the same with its speech modules skipped, whatever is spoken."""
    clips = tiny_clips["tiny-random"]
    transformer = clips.trainee(Stage.STAGE2).transformer
    silence(transformer)
    batch = clips.batches(Stage.STAGE2, steps=2).batch(0)
    given = {
        "latents": batch.latents,
        "timestep": batch.timestep,
        "text": torch.randn(2, 3, transformer.shape.text_dim),
        "audio": torch.randn_like(batch.audio),
        "condition": batch.condition,
    }
    with torch.no_grad():
        before = transformer(**given)
        mute(transformer)
        assert torch.equal(transformer(**given), before)


def test_muon_takes_the_inner_matrices(tiny_clips: dict[str, Clips]) -> None:
    """Every parameter has one optimiser; embeddings, tables, gains and the last layer are AdamW's."""
    trained = tiny_clips["tiny-random"].trainee(Stage.BASE, train_text=True).trained
    names = {name for name, value in trained.items() if is_matrix(name, value)}
    assert "transformer.blocks.0.ffn.0.weight" in names
    assert "text.encoder.block.1.layer.0.SelfAttention.q.weight" in names
    left_out = ("shared", "relative_attention_bias", "head.", "patch_embedding", "modulation", "norm", "bias")
    assert not [name for name in names if any(part in name for part in left_out)]
    optimiser = muon(trained, 1e-3)
    taken = [value for group in optimiser.param_groups for value in group["params"]]
    assert len(taken) == len(trained)
    assert {id(value) for value in taken} == {id(value) for value in trained.values()}


def _steps(optimiser: torch.optim.Optimizer, weights: dict[str, nn.Parameter], numbers: range) -> None:
    for number in numbers:
        for value in weights.values():
            value.grad = torch.randn(value.shape, generator=torch.Generator().manual_seed(number))
        for group in optimiser.param_groups:
            group["lr"] = group["full_lr"] / (number + 1)
        optimiser.step()


def _weights() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"blocks.0.a.weight": (4, 6), "x.blocks.0.b.weight": (6, 4), "head.weight": (3, 4), "head.bias": (3,)}
    return {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}


def test_two_optimisers_go_on_as_one() -> None:
    """Four steps, and two, a state read back and two more: the same weights bit for bit; rates that are set hold."""
    straight, broken = _weights(), _weights()
    _steps(muon(straight, 0.01), straight, range(4))
    first = muon(broken, 0.01)
    assert isinstance(first, Together)
    _steps(first, broken, range(2))
    second = muon(broken, 0.01)
    second.load_state_dict(first.state_dict())
    _steps(second, broken, range(2, 4))
    for name, value in straight.items():
        assert torch.equal(value, broken[name]), name
    still = _weights()
    stopped = muon(still, 0.01)
    for group in stopped.param_groups:
        group["full_lr"] = 0.0
    _steps(stopped, still, range(1))
    assert all(torch.equal(value, before) for value, before in zip(still.values(), _weights().values(), strict=True))


@pytest.mark.parametrize("loud", [0, 9])
def test_channels_count_by_what_they_show(loud: int) -> None:
    """A channel that the decoder hears ten times as loud as the others weighs most; the mean is 1."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        vae = build_vae(VaeConfig(dim=4, num_res_blocks=1))
    with torch.no_grad():
        vae.post_quant_conv.weight[:, loud] *= 10
    latents = torch.randn(2, 16, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    found = channel_weights(vae, latents)
    assert int(found.argmax()) == loud
    assert float(found.mean()) == pytest.approx(1)
