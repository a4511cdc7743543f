"""The video autoencoder against the reference's golden tensors."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from model_runtime.humo import vae as video_vae
from model_runtime.humo.config import VaeConfig
from model_runtime.humo.cpu_kernels import CpuKernels
from tests.support import humo as golden

CLIPS = sorted(key.removesuffix(".video") for key in golden.tensors("vae_tiny_io") if key.endswith(".video"))
PATCHED = VaeConfig(
    dim=4, dim_mult=(1, 2, 3), num_res_blocks=1, temporal_downsample=(True, True), patch_size=2, is_standardised=True
)
LATENTS = sorted(key.removesuffix(".decoded") for key in golden.tensors("vae_tiny_io") if key.endswith(".decoded"))


@pytest.mark.parametrize("clip", CLIPS)
def test_encoding_gives_normalised_means(clip: str) -> None:
    """Video frames become the reference's normalised latents."""
    io = golden.tensors("vae_tiny_io")
    assert golden.error(video_vae.encode(golden.vae(), io[f"{clip}.video"]), io[f"{clip}.latents"]) <= golden.VAE


@pytest.mark.parametrize("clip", LATENTS)
def test_decoding_piece_by_piece_gives_the_references_video(clip: str) -> None:
    """One frame, then four per latent frame; joined they are the reference's video, clamped or not."""
    io = golden.tensors("vae_tiny_io")
    pieces = list(video_vae.decode(golden.vae(), io[f"{clip}.latents"]))
    assert [piece.shape[1] for piece in pieces] == [1] + [4] * (len(pieces) - 1)
    video = torch.cat(pieces, dim=1)
    assert golden.error(video, io[f"{clip}.decoded_unclamped"]) <= golden.VAE
    assert golden.error(video.clamp(-1, 1), io[f"{clip}.decoded"]) <= golden.VAE


@pytest.mark.parametrize("clip", LATENTS)
def test_streamed_decoding_equals_diffusers_decoding_at_once(clip: str) -> None:
    """The stream is bit for bit what diffusers returns in one piece from the same kernels."""
    vae, latents = golden.vae(), golden.tensors("vae_tiny_io")[f"{clip}.latents"]
    mean, std = (torch.tensor(vae.config[name]).view(-1, 1, 1, 1) for name in ("latents_mean", "latents_std"))
    with torch.no_grad(), CpuKernels():
        whole = vae.decode((latents * std + mean)[None]).sample[0]
    assert torch.equal(torch.cat(list(video_vae.decode(vae, latents)), dim=1).clamp(-1, 1), whole)


def test_decoding_starts_before_the_last_latent_is_touched() -> None:
    """The first frames come although later latents are not numbers: nothing of them has been looked at."""
    latents = golden.tensors("vae_tiny_io")[f"{LATENTS[-1]}.latents"].clone()
    latents[:, -1] = torch.nan
    pieces = list(video_vae.decode(golden.vae(), latents))
    assert all(torch.isfinite(piece).all() for piece in pieces[:-1])
    assert torch.isnan(pieces[-1]).any()


def test_two_streams_at_once_do_not_mix() -> None:
    """A stream keeps its history to itself, also when it is abandoned half-way."""
    io = golden.tensors("vae_tiny_io")
    first, second = (io[f"{clip}.latents"] for clip in LATENTS[-2:])
    alone = list(video_vae.decode(golden.vae(), first))
    abandoned = video_vae.decode(golden.vae(), second)
    mixed = []
    for piece in video_vae.decode(golden.vae(), first):
        next(abandoned, None)
        mixed.append(piece)
    assert all(torch.equal(a, b) for a, b in zip(alone, mixed, strict=True))


def test_statistics_are_the_published_ones() -> None:
    """Mean and deviation per latent channel are the reference's constants."""
    io, config = golden.tensors("vae_tiny_io"), golden.vae().config
    assert torch.allclose(torch.tensor(config["latents_mean"]), io["mean"])
    assert torch.allclose(torch.tensor(config["latents_std"]), io["std"])


def test_zero_latent_is_that_of_mid_grey() -> None:
    """The zero latent is the encoding of zeros, of any length: a shorter one is the head of a longer one."""
    io = golden.tensors("vae_tiny_io")
    wanted = next(value for key, value in io.items() if key.startswith("zero") and key.endswith(".latents"))
    _, frames, rows, columns = wanted.shape
    got = video_vae.zero_latent(golden.vae(), latent_frames=frames, rows=rows, columns=columns)
    assert golden.error(got, wanted) <= golden.VAE
    less = frames // 2
    shorter = video_vae.zero_latent(golden.vae(), latent_frames=less, rows=rows, columns=columns)
    assert golden.error(shorter, wanted[:, :less]) <= golden.VAE


def test_frames_that_no_latent_stands_for_are_refused() -> None:
    """Only 4k + 1 frames can be encoded."""
    with pytest.raises(ValueError, match="4n \\+ 1"):
        video_vae.encode(golden.vae(), torch.zeros(3, 4, 16, 16))


def test_pixels_are_clamped_and_truncated() -> None:
    """-1 is 0, 1 is 255, and what lies between is cut off, not rounded."""
    piece = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 2.0]).expand(3, 1, 1, 6)
    assert video_vae.to_pixels(piece)[0, 0, :, 0].tolist() == [0, 0, 127, 254, 255, 255]


@pytest.fixture(scope="module")
def patched() -> AutoencoderKLWan:
    """An autoencoder that takes 2x2 pixels at a time, with statistics of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return video_vae.build_vae(PATCHED)


def test_patches_are_undone_in_every_piece(patched: AutoencoderKLWan) -> None:
    """Where pixels are taken 2x2 at a time, the stream is still bit for bit diffusers' clip, at the same strides."""
    video = torch.rand(3, 9, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = video_vae.encode(patched, video)
    assert latents.shape == (16, 3, 4, 6)
    pieces = list(video_vae.decode(patched, latents))
    assert [tuple(piece.shape) for piece in pieces] == [(3, 1, 32, 48), (3, 4, 32, 48), (3, 4, 32, 48)]
    with torch.no_grad(), CpuKernels():
        whole = patched.decode(latents[None]).sample[0]
    assert torch.equal(torch.cat(pieces, dim=1).clamp(-1, 1), whole)


def test_standardised_latents_are_taken_as_they_are(patched: AutoencoderKLWan) -> None:
    """Whose weights hold the statistics has mean 0 and deviation 1: encoding gives the network's own means."""
    video = torch.rand(3, 5, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad(), CpuKernels():
        means = patched.encode(video[None]).latent_dist.mode()[0]
    assert torch.equal(video_vae.encode(patched, video), means)


def test_other_strides_are_refused() -> None:
    """A patch without fewer levels would be 16 pixels per cell: nothing else here counts with that."""
    with pytest.raises(ValueError, match="other strides than 4 x 8 x 8"):
        video_vae.build_vae(VaeConfig(dim=4, patch_size=2))
