"""One clip from a loaded model: read, prepare, denoise, decode, with every step told."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model_runtime.engine import Frame, RenderContext, RenderTask
from model_runtime.humo import audio, pipeline
from model_runtime.humo import vae as video_vae
from model_runtime.humo.conditioning import Conditioning, SlotConditioning, channel_conditioning
from model_runtime.humo.config import Family
from model_runtime.humo.guidance import Scales
from model_runtime.humo.loaded import Loaded, visiting
from model_runtime.humo.references import encode_references
from model_runtime.humo.sampler import Sampler
from model_runtime.humo.task import Given, read_task
from model_runtime.humo.text import prompt_field
from schemas.guidance import Chain
from schemas.job import RenderRequest
from schemas.model_spec import ModelSpec

_REMEMBERED = 8


class Renderer:
    """Holds what is the same from clip to clip: negative prompts' states and each size's zero latent."""

    def __init__(self, loaded: Loaded, spec: ModelSpec) -> None:
        self._loaded = loaded
        self._spec = spec
        self.chain: Chain | None = None
        """Of guidance, where an experiment wants another than the model's own."""
        self._negatives: dict[str, Tensor] = {}
        self._zeros: dict[tuple[int, int], Tensor] = {}

    def render(self, task: RenderTask, context: RenderContext) -> None:
        """Give the clip's frames to the context; phases are `prepare`, `denoise` (steps) and `decode` (frames).

        Raises:
            InvalidMedia: the request or an input is beyond the model; nothing long has begun.
            FloatingPointError: latents or pictures are not finite numbers.
            Whatever the context raises to stop.
        """
        request = task.request
        given = read_task(task, self._spec)
        sampler = Sampler(steps=request.num_inference_steps, shift=request.shift)
        conditions = self._prepare(request, given, context)
        latents = pipeline.denoise(
            self._loaded.transformer,
            conditions,
            self._noise(request, conditions.slots),
            sampler=sampler,
            plan=pipeline.Plan(family=self._family, mode=request.mode, scales=_scales(request, self.chain)),
            on_step=lambda done, _: context.progress("denoise", done, request.num_inference_steps),
        )
        for index, frame in enumerate(pipeline.frames(self._loaded.vae, latents)):
            context.progress("decode", index, request.num_frames)
            context.frame(enlarged(frame, self._spec.upscale))

    @property
    def _family(self) -> Family:
        return self._loaded.transformer.shape.family

    def _noise(self, request: RenderRequest, slots: int) -> Tensor:
        return pipeline.draw_noise(
            request.seed,
            channels=self._loaded.transformer.shape.out_dim,
            slots=pipeline.latent_frames(request.num_frames) + slots,
            rows=self._drawn(request.height) // video_vae.STRIDE,
            columns=self._drawn(request.width) // video_vae.STRIDE,
        ).to(self._loaded.device)

    def _drawn(self, side: int) -> int:
        """What the model draws of a clip's side."""
        return side // self._spec.upscale

    def _prepare(self, request: RenderRequest, given: Given, context: RenderContext) -> pipeline.Conditions:
        slots = max(1, len(given.pictures))
        context.progress("prepare", 0, 3)
        text, negative = self._text(request)
        context.progress("prepare", 1, 3)
        speech = self._speech(request, given, slots)
        context.progress("prepare", 2, 3)
        references = self._references(request, given, slots)
        context.progress("prepare", 3, 3)
        return pipeline.Conditions(text=text, negative=negative, speech=speech, references=references, slots=slots)

    def _text(self, request: RenderRequest) -> tuple[Tensor, Tensor]:
        """States of prompt and negative prompt; without a negative prompt the model's own is meant."""
        encoder, device = self._loaded.text, self._loaded.device
        words = request.negative_prompt or self._spec.negative_prompt
        with visiting(encoder.encoder, device):
            if words not in self._negatives:
                if len(self._negatives) >= _REMEMBERED:
                    self._negatives.clear()
                self._negatives[words] = encoder(words).to(device)
            return encoder(prompt_field(request.prompt)).to(device), self._negatives[words]

    def _speech(self, request: RenderRequest, given: Given, slots: int) -> Tensor:
        shape, latents = self._loaded.transformer.shape, pipeline.latent_frames(request.num_frames)
        if given.speech is None:
            features = torch.zeros(0, shape.audio_bands, shape.audio_channels, device=self._loaded.device)
        else:
            features = audio.per_frame(self._loaded.speech(given.speech), shape.audio_bands)
        return audio.with_references(audio.windows(features, latents), slots)

    def _references(self, request: RenderRequest, given: Given, slots: int) -> Conditioning:
        loaded, width, height = self._loaded, self._drawn(request.width), self._drawn(request.height)
        references = (
            encode_references(loaded.vae, given.pictures, width=width, height=height) if given.pictures else None
        )
        if self._family is Family.SLOTS:
            return SlotConditioning(slots=slots, references=references)
        frames = pipeline.latent_frames(request.num_frames)
        zero = self._zero(frames + slots, height // video_vae.STRIDE, width // video_vae.STRIDE)
        return channel_conditioning(references, zero, slots=slots, latent_frames=frames)

    def _zero(self, frames: int, rows: int, columns: int) -> Tensor:
        """The grey clip's latent of this size; a longer one made before serves, because its head is the same.

        It is made for the model's longest clip at once: clips of one campaign differ in length.
        """
        known = self._zeros.get((rows, columns))
        if known is None or known.shape[1] < frames:
            frames = max(frames, pipeline.latent_frames(self._spec.max_frames) + 1)
            if len(self._zeros) >= _REMEMBERED:
                self._zeros.clear()
            known = video_vae.zero_latent(self._loaded.vae, latent_frames=frames, rows=rows, columns=columns)
            self._zeros[rows, columns] = known
        return known


def enlarged(frame: Frame, times: int) -> Frame:
    """uint8 [h, w, 3] -> [h * times, w * times, 3], by Lanczos."""
    if times == 1:
        return frame
    height, width = frame.shape[:2]
    return np.asarray(Image.fromarray(frame).resize((width * times, height * times), Image.Resampling.LANCZOS))


def _scales(request: RenderRequest, chain: Chain | None) -> Scales:
    return Scales(text=request.guidance_text, audio=request.guidance_audio, image=request.guidance_image, chain=chain)
