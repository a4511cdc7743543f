"""The autoencoder's own loop: what is learned, kept, gone on with and published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from model_runtime.humo import vae as video_vae
from model_runtime.humo.config import VaeConfig
from model_runtime.training.__main__ import main
from model_runtime.training.autoencoder import whole
from model_runtime.training.autoencoder.footage import Footage
from model_runtime.training.autoencoder.publishing import published
from model_runtime.training.autoencoder.quality import MouthReader, Quality, psnr
from model_runtime.training.autoencoder.trainer import AutoencoderTrainer, Settings
from model_runtime.training.autoencoder.windows import Window, pixels
from schemas.errors import InvalidInput, Refused

TINY = VaeConfig(
    dim=4, dim_mult=(1, 2, 3), num_res_blocks=1, temporal_downsample=(True, True), patch_size=2, is_standardised=True
)


@pytest.fixture
def quality(unseen: Footage, seen: Footage) -> Quality:
    return Quality(unseen, seen, clips=2)


def _trainer(
    seen: Footage,
    quality: Quality,
    out: Path,
    *,
    config: VaeConfig = TINY,
    start_from: Path | None = None,
    **given: object,
) -> AutoencoderTrainer:
    known = {"steps": 4, "batch": 2, "window": Window(side=16, frames=5), "save_every": 2, "check_every": 0}
    settings = Settings(**{**known, "half": False, "warmup": 2, **given})  # type: ignore[arg-type]
    return AutoencoderTrainer(config, seen, quality, settings, out, start_from=start_from)


def _metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_it_learns(seen: Footage, quality: Quality, tmp_path: Path) -> None:
    """Within 40 steps what comes out is nearer to what went in, clips and pictures; a sheet shows it."""
    trainer = _trainer(
        seen, quality, tmp_path, config=replace(TINY, dim=8), steps=40, save_every=40,
        window=Window(side=32, frames=5), learning_rate=5e-3, whole_share=0.0, average=0.8,
    )  # fmt: skip
    before = quality(trainer.vae)
    assert trainer.run()
    clips = [row["pixels"] for row in _metrics(tmp_path) if row["step"] % 6 != 5]
    assert np.mean(clips[-10:]) < 0.92 * np.mean(clips[:10])
    after = json.loads((tmp_path / "training.json").read_text())["quality"]
    assert after["psnr"] > before["psnr"] + 0.6
    assert after["pictures"] > before["pictures"] + 0.2
    with Image.open(tmp_path / "quality" / "step-00000040.png") as sheet:
        assert sheet.size == (2 * 7 * 32, 2 * 2 * 4 * 32)


def test_a_resumed_run_is_the_run(seen: Footage, quality: Quality, tmp_path: Path) -> None:
    """4 steps straight, and 2 and 2 more by new objects, over from windows to whole clips: the same to the last bit."""
    assert _trainer(seen, quality, tmp_path / "straight").run()
    assert not _trainer(seen, quality, tmp_path / "broken").run(until=2)
    second = _trainer(seen, quality, tmp_path / "broken")
    assert second.start(resume=True) == []
    assert second.step == 2
    assert second.run()
    assert _metrics(tmp_path / "broken") == _metrics(tmp_path / "straight")
    assert len({row["loss"] for row in _metrics(tmp_path / "straight")}) == 4
    last = Path("checkpoints") / "step-00000004"
    for name in (last / "weights", last / "average", last / "optimiser", Path("vae")):
        one, other = ((tmp_path / run / name).with_suffix(".safetensors") for run in ("straight", "broken"))
        assert one.read_bytes() == other.read_bytes()


def test_what_is_published_is_the_average_with_unit_latents(seen: Footage, quality: Quality, tmp_path: Path) -> None:
    """The file's latents have mean 0 and deviation 1 on the clips; it makes of clips what the averaged weights made."""
    trainer = _trainer(seen, quality, tmp_path, steps=2)
    trainer.run()
    found = published(tmp_path / "vae.safetensors", TINY)
    about = json.loads((tmp_path / "training.json").read_text())
    assert about["latents"]["mean"] == pytest.approx([0] * 16, abs=0.02)
    assert about["latents"]["deviation"] == pytest.approx([1] * 16, abs=0.02)
    video = pixels(seen.frames[:1])
    with trainer.average.in_place(trainer._trained), torch.no_grad():
        wanted = whole.decode(trainer.vae, whole.encode(trainer.vae, video).mean)[0]
    streamed = torch.cat(list(video_vae.decode(found, video_vae.encode(found, video[0]))), dim=1)
    assert float((streamed - wanted).abs().mean()) < 0.02 * float(wanted.std())


def test_the_decoder_alone_leaves_the_latents(seen: Footage, quality: Quality, tmp_path: Path) -> None:
    """Everything up to the latents stays as it was, to the last bit; the decoder does not."""
    first = tmp_path / "first"
    _trainer(seen, quality, first, steps=1).run()
    file = first / "vae.safetensors"
    _trainer(seen, quality, tmp_path / "second", start_from=file, decoder_only=True, steps=3, learning_rate=0.02).run()
    before, after = load_file(file), load_file(tmp_path / "second" / "vae.safetensors")
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"conv2", "decoder"}
    with pytest.raises(InvalidInput, match="from weights that are there"):
        _trainer(seen, quality, tmp_path / "third", decoder_only=True)
    other = tmp_path / "second" / "vae.safetensors"
    with pytest.raises(Refused, match="has start_from"):
        _trainer(seen, quality, tmp_path / "second", start_from=other, decoder_only=True, steps=3).start(resume=True)


def test_another_run_is_refused(seen: Footage, quality: Quality, tmp_path: Path) -> None:
    """Nothing is overwritten by a fresh start, and no run goes on with another seed; more steps may be asked for."""
    _trainer(seen, quality, tmp_path).run(until=1)
    with pytest.raises(Refused, match="holds a run of 1 steps"):
        _trainer(seen, quality, tmp_path).start(resume=False)
    with pytest.raises(Refused, match="has seed 0 \\(now 1\\)"):
        _trainer(seen, quality, tmp_path, seed=1).start(resume=True)
    longer = _trainer(seen, quality, tmp_path, steps=6)
    longer.start(resume=True)
    assert longer.step == 1
    with pytest.raises(InvalidInput, match="holds its own latents' statistics"):
        AutoencoderTrainer(VaeConfig(dim=4), seen, quality, Settings(steps=1), tmp_path)


def test_figures_say_what_was_kept(seen: Footage) -> None:
    """PSNR within a mask, and an opening read from the pixels: high on true frames, low on another clip's."""
    one = seen.frames[:1]
    other = one.copy()
    other[:, :, :8] = np.where(other[:, :, :8] < 128, other[:, :, :8] + 10, other[:, :, :8] - 10)
    inside = np.zeros(one.shape[:-1], bool)
    inside[:, :, :8] = True
    assert psnr(other, one, inside) == pytest.approx(20 * np.log10(25.5))
    assert psnr(other, one, ~inside) > 90
    assert np.isnan(psnr(other, one, inside & ~inside))
    reader = MouthReader(seen)
    assert reader.correlation(seen.frames, seen.marks, seen.openings) > 0.8
    assert reader.correlation(seen.frames, seen.marks, seen.openings[:, ::-1]) < 0.5
    flat = np.full_like(seen.frames, 100)
    flat[:, :, ::2] += np.arange(9, dtype=np.uint8)[None, :, None, None, None]
    assert reader.correlation(flat, seen.marks, seen.openings) < 0.5


def test_the_command(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It trains, publishes and says where; what cannot be is refused with what to do."""
    small = ["--side", "32", "--frames", "9", "--window", "16", "5", "--batch", "2", "--width", "4", "--levels", "1",
             "2", "3", "--clips", "3", "--check-clips", "2", "--precision", "bf16"]  # fmt: skip
    run = ["autoencoder", "--out", str(tmp_path / "a"), "--footage", str(tmp_path / "clips"), *small]
    assert main([*run, "--steps", "2"]) == 0
    assert f"autoencoder: 2 steps, weights in {tmp_path / 'a'}" in capsys.readouterr().out
    assert (tmp_path / "a" / "vae.safetensors").is_file()
    assert main([*run, "--steps", "2"]) == 3
    assert "add --resume" in capsys.readouterr().err
    assert main([*run, "--steps", "2", "--resume", "--width", "5"]) == 2
    assert main(["autoencoder", "--out", str(tmp_path / "b"), "--footage", str(drawn), *small, "--steps", "1"]) == 2
    assert "name another folder with --footage" in capsys.readouterr().err
