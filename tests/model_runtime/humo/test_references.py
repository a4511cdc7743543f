"""Reference pictures against the reference's golden tensors."""

from __future__ import annotations

import pytest
import torch

from model_runtime.humo.conditioning import SlotConditioning, channel_conditioning
from model_runtime.humo.config import Family
from model_runtime.humo.references import encode_references, to_tensor
from tests.support import humo as golden

CHANNEL_SIZES = [size for size in golden.SIZES if golden.transformer_config(size).family is Family.CHANNELS]


@pytest.mark.parametrize("index", range(len(golden.pictures())))
def test_pictures_are_letterboxed_on_white(index: int) -> None:
    """Aspect kept, Lanczos, centred; other Pillow versions may differ by one level."""
    wanted = golden.tensors("ref_image")[f"pic{index}.boxed"]
    _, _, height, width = wanted.shape
    got = to_tensor(golden.pictures()[index], width=width, height=height)
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() <= 1 / 127.5 + 1e-6


def test_each_picture_is_one_slot_in_order() -> None:
    """Pictures are encoded one by one, so that their order and number do not change them."""
    pictures = golden.pictures()
    *_, height, width = golden.tensors("ref_image")["pic0.boxed"].shape
    both = encode_references(golden.vae(), pictures, width=width, height=height)
    turned = encode_references(golden.vae(), pictures[::-1], width=width, height=height)
    assert both.shape[1] == len(pictures)
    assert torch.equal(both, turned.flip(1))


@pytest.mark.parametrize("size", CHANNEL_SIZES)
def test_channels_are_mask_then_conditioning_latent(size: str) -> None:
    """With pictures: zero clip, then references. Without: zero clip throughout. The mask is the same in both."""
    io = golden.tensors(f"dit_tiny_{size}_io")
    for case in sorted(key.removesuffix(".y_image") for key in io if key.endswith(".y_image")):
        references = io[f"{case}.ref_latents"]
        slots = references.shape[1]
        frames = io[f"{case}.latents"].shape[1] - slots
        made = channel_conditioning(references, io[f"{case}.zero_vae"], slots=slots, latent_frames=frames)
        assert made.present is not None
        assert torch.equal(made.present, io[f"{case}.y_image"])
        assert torch.equal(made.absent, io[f"{case}.y_null"])
        assert made.inputs(io[f"{case}.latents"], image=True)[1] is made.present
        without = channel_conditioning(None, io[f"{case}.zero_vae"], slots=slots, latent_frames=frames)
        assert torch.equal(without.absent, made.absent)
        assert without.inputs(io[f"{case}.latents"], image=True)[1] is without.absent


def test_a_zero_latent_that_is_too_short_is_refused() -> None:
    """The conditioning latent must cover video and reference slots."""
    with pytest.raises(ValueError, match="expected at least 5"):
        channel_conditioning(None, torch.zeros(16, 4, 2, 2), slots=1, latent_frames=4)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_slots_are_overwritten_and_the_latents_kept(count: int) -> None:
    """The shown latent ends with the references or zeros; the solver's own latent is not touched."""
    latents, references = torch.randn(16, 3 + count, 2, 2), torch.randn(16, count, 2, 2)
    before = latents.clone()
    conditioning = SlotConditioning(slots=count, references=references)
    shown, channels = conditioning.inputs(latents, image=True)
    assert channels is None
    assert torch.equal(shown[:, -count:], references)
    assert torch.equal(shown[:, :-count], latents[:, :-count])
    assert not conditioning.inputs(latents, image=False)[0][:, -count:].any()
    assert torch.equal(latents, before)
