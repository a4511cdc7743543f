"""Focus by predicting reads the right states, judges by face size, and leaves the transformer as it is."""

from __future__ import annotations

import math

import pytest
import torch

from model_runtime.humo.config import TINY_RANDOM
from model_runtime.humo.transformer import HumoTransformer
from model_runtime.training.focus import FocusPredictor, focus_loss


@pytest.fixture(scope="module")
def transformer() -> HumoTransformer:
    torch.manual_seed(0)
    shape = {**TINY_RANDOM.transformer.__dict__, "num_layers": 3}
    return HumoTransformer.from_shape(type(TINY_RANDOM.transformer)(**shape)).eval()


def _inputs(transformer: HumoTransformer) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "latents": torch.randn(2, 16, 3, 4, 6, generator=generator),
        "timestep": torch.tensor([500, 20]),
        "text": torch.randn(2, 5, 40, generator=generator),
        "audio": torch.randn(2, 3, 8, 5, 16, generator=generator),
        "condition": torch.randn(2, 20, 3, 4, 6, generator=generator),
    }


def test_it_reads_the_stream_after_the_speech_attention(transformer: HumoTransformer) -> None:
    """What is watched in the last blocks, put through the rest of the block, is the block's own output."""
    predictor = FocusPredictor(transformer, blocks=2)
    outputs: list[torch.Tensor] = []
    times: list[torch.Tensor] = []

    def keep(_: object, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        outputs.append(output)
        times.append(given[1])

    handles = [block.register_forward_hook(keep) for block in transformer.blocks]
    with torch.no_grad(), predictor.watching(transformer) as states:
        transformer(**_inputs(transformer))
    for handle in handles:
        handle.remove()
    assert len(states) == 2
    for block, state, output, time in zip(transformer.blocks[1:], states, outputs[1:], times[1:], strict=True):
        shift, scale, gate = (block.modulation + time)[:, 3:].chunk(3, dim=1)
        normed = torch.nn.functional.layer_norm(state, state.shape[-1:], eps=block.eps) * (1 + scale) + shift
        torch.testing.assert_close(state + gate * block.ffn(normed), output)


def test_names_and_pictures_do_not_change(transformer: HumoTransformer) -> None:
    """A watched transformer has the published names and says what it says unwatched; no hook stays."""
    inputs, names = _inputs(transformer), list(transformer.state_dict())
    predictor = FocusPredictor(transformer)
    with torch.no_grad():
        plain = transformer(**inputs)
        with predictor.watching(transformer):
            assert torch.equal(transformer(**inputs), plain)
            assert list(transformer.state_dict()) == names
    assert not any(module._forward_hooks for module in transformer.modules())


def test_cells_are_where_the_transformer_has_them(transformer: HumoTransformer) -> None:
    """A predictor's cells are laid out as the transformer lays out its own patches."""
    predictor = FocusPredictor(transformer, blocks=1)
    predictor.heads[0] = torch.nn.Identity()
    frames, rows, columns = 3, 2, 3
    marks = torch.arange(2 * frames * rows * columns * 4, dtype=torch.float32).view(2, -1, 4)
    ours = predictor([marks], slots=3, rows=4, columns=6)
    # The transformer's patches end in channels; here each of its 16 is the same.
    theirs = transformer.unpatchify(marks.repeat_interleave(16, dim=-1), frames, rows, columns)
    assert torch.equal(ours, theirs[:, 3])
    with pytest.raises(ValueError, match="2 blocks, expected 1"):
        predictor([marks, marks], slots=3, rows=4, columns=6)


def test_no_more_blocks_than_there_are(transformer: HumoTransformer) -> None:
    """The last four blocks of three are three, and gradients reach every head and the blocks below."""
    predictor = FocusPredictor(transformer)
    assert predictor.blocks == 3
    with predictor.watching(transformer) as states:
        transformer(**_inputs(transformer))
    predictor(states, slots=3, rows=4, columns=6).mean().backward()
    assert all(parameter.grad is not None for parameter in predictor.parameters())
    assert transformer.blocks[0].audio_cross_attn_wrapper.audio_cross_attn.o.weight.grad.any()
    assert transformer.head.head.weight.grad is None
    transformer.zero_grad()


def test_the_loss_is_weighted_by_face_size() -> None:
    """A face of a quarter of the frame counts four times, one that fills it once, an absent one not at all."""
    face = torch.zeros(1, 3, 4, 4)
    face[0, 0, :2, :2] = 0.9
    face[0, 1] = 1
    # Half a cell is not a face.
    face[0, 2, 0, 0] = 0.5
    wanted = (4 + 1 + 0) * math.log(2) / 3
    assert float(focus_loss(torch.zeros(1, 3, 4, 4), face)) == pytest.approx(wanted)


def test_the_loss_rewards_the_right_mask() -> None:
    """Sure and right costs nothing, sure and wrong costs much, and it is the sign that counts."""
    face = torch.zeros(1, 1, 2, 2)
    face[..., 0, 0] = 1
    right = 20 * (2 * face - 1)
    assert float(focus_loss(right, face)) < 1e-6
    assert float(focus_loss(-right, face)) == pytest.approx(4 * 20)
