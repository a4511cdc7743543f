"""A whole clip at once is what the engine streams, and where the weights begin."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from model_runtime.humo import vae as video_vae
from model_runtime.humo.config import VaeConfig
from model_runtime.training.autoencoder import whole
from model_runtime.training.autoencoder.publishing import publish, published
from model_runtime.training.autoencoder.start import begin
from model_runtime.training.autoencoder.statistics import measure, standardise
from schemas.errors import InvalidInput

TINY = VaeConfig(
    dim=4, dim_mult=(1, 2, 3), num_res_blocks=1, temporal_downsample=(True, True), patch_size=2, is_standardised=True
)
# The shape of the published one, its one level without a change of frame rate included.
UNPATCHED = VaeConfig(dim=4, num_res_blocks=1, is_standardised=True)


def _begun(config: VaeConfig) -> AutoencoderKLWan:
    vae = video_vae.build_vae(config)
    begin(vae, seed=4)
    return vae.requires_grad_(False)


def _video(frames: int, *, count: int = 2, side: int = 16) -> torch.Tensor:
    shape = count, 3, frames, side, side + 8
    return torch.rand(shape, generator=torch.Generator().manual_seed(frames)) * 2 - 1


@pytest.mark.parametrize("config", [TINY, UNPATCHED], ids=["patched", "unpatched"])
@pytest.mark.parametrize("frames", [1, 5, 13])
def test_the_whole_is_what_the_engine_streams(config: VaeConfig, frames: int) -> None:
    """Latents and frames are the engine's, frame by frame: one picture, one step in time, several."""
    vae, video = _begun(config), _video(frames)
    means = whole.encode(vae, video).mean
    clips = whole.decode(vae, means)
    for index in range(len(video)):
        latents = video_vae.encode(vae, video[index])
        torch.testing.assert_close(means[index], latents, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            clips[index], torch.cat(list(video_vae.decode(vae, latents)), dim=1), atol=2e-5, rtol=1e-4
        )


def test_nothing_fades_or_grows_at_the_start() -> None:
    """Latents and frames of a new autoencoder are about as large as its pixels, its posterior is narrow."""
    config = VaeConfig(
        dim=8, dim_mult=(1, 2, 4), num_res_blocks=1, temporal_downsample=(True, True), patch_size=2,
        is_standardised=True,
    )  # fmt: skip
    vae, video = _begun(config), _video(9, side=32)
    posterior = whole.encode(vae, video)
    assert 0.3 < float(posterior.mean.std()) < 3
    assert -5 < float(posterior.log_variance.mean()) < -3
    assert 0.1 < float(whole.decode(vae, posterior.mean).std()) < 1
    again = _begun(config)
    assert all(torch.equal(one, other) for one, other in zip(vae.parameters(), again.parameters(), strict=True))


def test_statistics_go_into_the_weights() -> None:
    """Latents then have mean 0 and deviation 1 per channel, the same posterior, and clips come out as before."""
    vae, videos = _begun(TINY), [_video(5), _video(9)]
    before = whole.encode(vae, videos[0])
    clip = whole.decode(vae, before.mean)
    found = measure(vae, videos)
    assert not torch.allclose(found.deviation, torch.ones(16), atol=0.05)
    standardise(vae, found)
    after = whole.encode(vae, videos[0])
    left = measure(vae, videos)
    torch.testing.assert_close(left.mean, torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(left.deviation, torch.ones(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(whole.decode(vae, after.mean), clip, atol=1e-4, rtol=1e-3)
    scale = found.deviation[:, None, None, None]
    torch.testing.assert_close((0.5 * after.log_variance).exp() * scale, (0.5 * before.log_variance).exp())
    with pytest.raises(ValueError, match="no video"):
        measure(vae, [])


def test_a_published_file_is_loaded_by_the_engine(tmp_path: Path) -> None:
    """Published names, bfloat16, and from there the same stream; a file of other widths is refused."""
    vae = _begun(TINY)
    path = publish(tmp_path, vae, TINY)
    assert path.stat().st_size < 2.3 * sum(value.numel() for value in vae.parameters()) + 20_000
    found = published(path, TINY)
    for name, value in found.state_dict().items():
        assert torch.equal(value, vae.state_dict()[name].bfloat16().float()), name
    latents = video_vae.encode(found, _video(5)[0])
    torch.testing.assert_close(latents, whole.encode(found, _video(5)[:1]).mean[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(InvalidInput, match="of another shape"):
        published(path, VaeConfig(**{**vars(TINY), "dim": 6}))
