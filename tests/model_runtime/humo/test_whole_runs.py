"""Noise to video, step by step, against the reference's whole runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_runtime.humo import audio, pipeline
from model_runtime.humo import vae as video_vae
from model_runtime.humo.conditioning import Conditioning, SlotConditioning, channel_conditioning
from model_runtime.humo.config import Family
from model_runtime.humo.guidance import Scales, guidance
from model_runtime.humo.references import encode_references
from model_runtime.humo.sampler import Sampler
from schemas.mode import Mode
from tests.support import humo as golden

RUNS = golden.names("e2e_tiny_*")


class Stop(Exception):
    pass


def size_of(run: str) -> str:
    return next(size for size in golden.SIZES if run.startswith(f"e2e_tiny_{size}_"))


def conditions(run: str) -> pipeline.Conditions:
    io = golden.tensors(run)
    frames = pipeline.latent_frames(golden.said(run, "frames"))
    slots = io["noise"].shape[1] - frames
    references = io.get("ref_latents")
    conditioning: Conditioning = SlotConditioning(slots=slots, references=references)
    if golden.transformer_config(size_of(run)).family is Family.CHANNELS:
        conditioning = channel_conditioning(references, io["zero_vae"], slots=slots, latent_frames=frames)
    return pipeline.Conditions(
        text=io["context"],
        negative=io["context_null"],
        speech=audio.with_references(audio.windows(io["audio_per_frame"], frames), slots),
        references=conditioning,
        slots=slots,
    )


def plan(run: str) -> pipeline.Plan:
    said = golden.said(run, "scales")
    optional = {"switch": "step_change", "late_reduction": "late_text_reduction", "image": "scale_i"}
    scales = Scales(
        text=said["scale_t"],
        audio=said["scale_a"],
        **{ours: said[key] for ours, key in optional.items() if key in said},
    )
    family = golden.transformer_config(size_of(run)).family
    return pipeline.Plan(family=family, mode=Mode(golden.words(run, "mode")), scales=scales)


def sampler(run: str) -> Sampler:
    return Sampler(steps=golden.said(run, "steps"), shift=golden.said(run, "shift"))


@pytest.mark.parametrize("run", RUNS)
def test_run_from_the_same_noise_gives_the_references_video(run: str) -> None:
    """States entering every step, final latents and the decoded video equal the reference's."""
    io, states = golden.tensors(run), list[Tensor]()
    transformer, steps = golden.transformer(size_of(run)), sampler(run)
    assert list(steps.timesteps) == io["timesteps"].tolist()
    final = pipeline.denoise(
        transformer, conditions(run), io["noise"], sampler=steps, plan=plan(run), on_step=lambda _, x: states.append(x)
    )
    errors = [golden.error(got, wanted) for got, wanted in zip(states, io["latents_per_step"], strict=True)]
    assert max(errors) <= golden.WHOLE_RUN, errors
    assert golden.error(final, io["final_latents"]) <= golden.WHOLE_RUN
    video = torch.cat(list(video_vae.decode(golden.vae(), final)), dim=1).clamp(-1, 1)
    assert golden.error(video, io["video"]) <= golden.WHOLE_RUN
    pixels = torch.stack([torch.from_numpy(frame) for frame in pipeline.frames(golden.vae(), final)])
    assert (pixels.float() - video_vae.to_pixels(io["video"]).float()).abs().max() <= 1


@pytest.mark.parametrize("run", RUNS)
def test_guided_predictions_are_the_references_at_its_own_states(run: str) -> None:
    """Each step alone, from the reference's state, gives the reference's guided velocity."""
    io, transformer, given, how = golden.tensors(run), golden.transformer(size_of(run)), conditions(run), plan(run)
    for index, timestep in enumerate(io["timesteps"].tolist()):
        step = guidance(how.family, how.mode, how.scales, timestep)
        state = io["latents_per_step"][index]
        guided = step.combine(
            {branch: pipeline.predict(transformer, given, state, timestep, branch) for branch in step.branches}
        )
        assert golden.error(guided, io["guided_pred_per_step"][index]) <= golden.WHOLE_RUN


@pytest.mark.parametrize("run", [run for run in RUNS if "ref_latents" in golden.tensors(run)])
def test_references_are_the_letterboxed_pictures(run: str) -> None:
    """The run's reference latents are the golden pictures, boxed and encoded in order."""
    wanted = golden.tensors(run)["ref_latents"]
    pictures = golden.pictures()[: wanted.shape[1]]
    width, height = (8 * wanted.shape[3], 8 * wanted.shape[2])
    assert golden.error(encode_references(golden.vae(), pictures, width=width, height=height), wanted) <= golden.VAE


@pytest.mark.parametrize("run", [run for run in RUNS if "zero_vae" in golden.tensors(run)])
def test_zero_latents_are_computed_for_the_runs_own_size(run: str) -> None:
    """The zero clip of any size is made at run time and equals the file's."""
    wanted = golden.tensors(run)["zero_vae"]
    _, frames, rows, columns = wanted.shape
    got = video_vae.zero_latent(golden.vae(), latent_frames=frames, rows=rows, columns=columns)
    assert golden.error(got, wanted) <= golden.VAE


def test_a_stop_is_noticed_between_two_steps() -> None:
    """What `on_step` raises ends the run there."""
    run, seen = RUNS[0], list[int]()

    def on_step(done: int, _: Tensor) -> None:
        seen.append(done)
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        pipeline.denoise(
            golden.transformer(size_of(run)),
            conditions(run),
            golden.tensors(run)["noise"],
            sampler=sampler(run),
            plan=plan(run),
            on_step=on_step,
        )
    assert seen == [0, 1, 2]


def test_latents_that_are_no_numbers_end_the_run() -> None:
    """A model with a damaged weight is stopped at its first step."""
    run = RUNS[0]
    transformer = golden.transformer(size_of(run))
    with torch.no_grad():
        transformer.head.head.weight[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="after step 1 "):
        pipeline.denoise(
            transformer,
            conditions(run),
            golden.tensors(run)["noise"],
            sampler=sampler(run),
            plan=plan(run),
            on_step=lambda *_: None,
        )


def test_noise_depends_on_the_seed_alone() -> None:
    """The same seed gives the same noise; another seed another one."""
    shape = {"channels": 16, "slots": 3, "rows": 2, "columns": 4}
    first = pipeline.draw_noise(7, **shape)
    assert torch.equal(first, pipeline.draw_noise(7, **shape))
    assert not torch.equal(first, pipeline.draw_noise(8, **shape))
    assert torch.equal(first, torch.randn(16, 3, 2, 4, generator=torch.Generator().manual_seed(7)))


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (5, 2), (97, 25)])
def test_latent_frames(frames: int, latents: int) -> None:
    """4n + 1 video frames are n + 1 latent frames."""
    assert pipeline.latent_frames(frames) == latents


@pytest.mark.parametrize("frames", [0, 2, 96, -3])
def test_other_lengths_are_refused(frames: int) -> None:
    """Nothing but 4n + 1 frames has latent frames."""
    with pytest.raises(ValueError, match="4n \\+ 1"):
        pipeline.latent_frames(frames)
