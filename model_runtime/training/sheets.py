"""Sample sheets: clips that training never sees, rendered by the engine's own loop beside what they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from model_runtime.humo import audio, pipeline
from model_runtime.humo import vae as video_vae
from model_runtime.humo.conditioning import Conditioning, SlotConditioning, channel_conditioning
from model_runtime.humo.config import Family
from model_runtime.humo.guidance import Scales
from model_runtime.humo.loaded import Loaded
from model_runtime.humo.references import encode_references
from model_runtime.humo.sampler import Sampler
from model_runtime.humo.text import prompt_field
from model_runtime.training.batches import ZeroLatent
from model_runtime.training.stage import Stage
from model_runtime.training.trainee import Trainee
from model_runtime.training.world.clip import Clip, Pixels
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World
from schemas.mode import Mode
from schemas.model_spec import WAN_NEGATIVE_PROMPT

_MODES = {Stage.BASE: Mode.TA, Stage.STAGE1: Mode.TI, Stage.STAGE2: Mode.TIA}
"""The base knows text alone: TA with silence."""
_SHOWN = 5
"""Frames of each clip on the sheet."""


class SampleSheet:
    """Per clip two rows of frames, first as drawn by the world, then as rendered; the first person's reference leads.

    Args:
        world: clips 0 to `clips` of its validation split are shown.
        loaded: the networks in training.
        folder: gets `step-<steps>.png`.
        zero: latents of grey clips.
        stage: decides what is given.
        steps: denoising steps.
    """

    def __init__(
        self,
        world: World,
        loaded: Loaded,
        folder: Path,
        *,
        zero: ZeroLatent,
        stage: Stage,
        clips: int = 4,
        steps: int = 12,
        scales: Scales | None = None,
    ) -> None:
        self._clips = [world.clip(index, Split.VAL) for index in range(clips)]
        self._loaded = loaded
        self._folder = folder
        self._zero = zero
        self._stage = stage
        self._steps = steps
        self._scales = scales or Scales(text=3.0, audio=2.5, image=3.0)

    def __call__(self, trainee: Trainee, step: int) -> None:
        """Draw the sheet of the weights as they are."""
        rows = []
        for number, clip in enumerate(self._clips):
            blank = np.full_like(clip.references[0], 255)
            rows += [
                _row(clip.references[0], clip.frames),
                _row(blank, self.render(trainee, clip, seed=number)),
            ]
        self._folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate(rows)).save(self._folder / f"step-{step:08d}.png")

    def render(self, trainee: Trainee, clip: Clip, *, seed: int) -> Pixels:
        """Frames [frames, h, w, 3] of the clip's prompt, references and speech, as far as the stage knows them."""
        frames = pipeline.latent_frames(len(clip.frames))
        rows, columns = (side // video_vae.STRIDE for side in clip.frames.shape[1:3])
        slots = len(clip.references) if self._stage.has_pictures else 1
        transformer, device = trainee.transformer, self._loaded.device
        noise = pipeline.draw_noise(
            seed, channels=transformer.shape.out_dim, slots=frames + slots, rows=rows, columns=columns
        )
        latents = pipeline.denoise(
            transformer,
            self._conditions(clip, frames, slots),
            noise.to(device),
            sampler=Sampler(steps=self._steps, shift=2.0),
            plan=pipeline.Plan(family=transformer.shape.family, mode=_MODES[self._stage], scales=self._scales),
            on_step=lambda _done, _latents: None,
        )
        return np.stack(list(pipeline.frames(self._loaded.vae, latents)))

    def _conditions(self, clip: Clip, frames: int, slots: int) -> pipeline.Conditions:
        loaded, device = self._loaded, self._loaded.device
        windows = audio.windows(
            audio.per_frame(loaded.speech(clip.audio), loaded.transformer.shape.audio_bands), frames
        )
        heard = windows if self._stage.has_speech else windows * 0
        return pipeline.Conditions(
            text=loaded.text(prompt_field(clip.caption)).to(device),
            negative=loaded.text(WAN_NEGATIVE_PROMPT).to(device),
            speech=audio.with_references(heard, slots).to(device),
            references=self._references(clip, frames, slots),
            slots=slots,
        )

    def _references(self, clip: Clip, frames: int, slots: int) -> Conditioning:
        height, width = clip.frames.shape[1:3]
        references = None
        if self._stage.has_pictures:
            pictures = [Image.fromarray(picture) for picture in clip.references]
            references = encode_references(self._loaded.vae, pictures, width=width, height=height)
        if self._loaded.transformer.shape.family is Family.SLOTS:
            return SlotConditioning(slots=slots, references=references)
        stride = video_vae.STRIDE
        zero = self._zero(frames + slots, height // stride, width // stride).to(self._loaded.device)
        return channel_conditioning(references, zero, slots=slots, latent_frames=frames)


def _row(lead: Pixels, frames: Pixels) -> Pixels:
    chosen = np.linspace(0, len(frames) - 1, _SHOWN).round().astype(int)
    return np.concatenate([lead, *(frames[index] for index in chosen)], axis=1)
