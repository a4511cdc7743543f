"""From examples to what the transformer is shown and asked: a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model_runtime.humo import audio
from model_runtime.humo.conditioning import Conditioning, SlotConditioning, channel_conditioning
from model_runtime.humo.config import Family
from model_runtime.training.examples import Example, Examples
from model_runtime.training.flow_matching import SigmaDistribution, noisy, timestep, velocity
from model_runtime.training.mixing import Given, Mixing
from model_runtime.training.order import Order
from model_runtime.training.stage import Stage
from model_runtime.training.world.streams import Streams
from schemas.errors import InvalidInput

ZeroLatent = Callable[[int, int, int], Tensor]
"""(slots, rows, columns) -> the latent of so much mid-grey, [16, slots, rows, columns]."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B samples of N slots, T of them video; all of one shape."""

    latents: Tensor
    """float32 [B, 16, N, h, w], noisy, as the transformer sees them."""
    timestep: Tensor
    """int64 [B]."""
    tokens: Tensor
    """int64 [B, longest text]; what is behind a text's end is 0 and masked."""
    is_token: Tensor
    """bool [B, longest text]."""
    audio: Tensor
    """float32 [B, N, window, bands, channels]; all-zero without speech."""
    condition: Tensor | None
    """float32 [B, 20, N, h, w] for the family that has it."""
    target: Tensor
    """float32 [B, 16, N, h, w]: noise - data."""
    weight: Tensor
    """float32 [B, 1 or 16, N, h, w], of mean 1 over each sample's video."""
    face: Tensor
    """float32 [B, T, h, w]: share of each cell that is a face."""

    def to(self, device: torch.device) -> Batch:
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in tensors.items() if value is not None})


class Batches:
    """The batches of one stage.

    Args:
        examples: where clips come from.
        family: how reference pictures reach the transformer.
        zero: latents of grey clips.
        negative: int64 [tokens] of the negative prompt, given where text is dropped.
        stage: what is learned.
        size: samples per step, over all ranks.
        steps: steps of the whole stage; the task mix runs over them.
        seed: decides everything that is drawn.
        mouth: how much more a latent cell with a mouth counts in the flow loss.
        channels: how much each latent channel counts there, float32 [16] of mean 1; None: all alike.

    Raises:
        InvalidInput: there are too few examples for one batch.
    """

    def __init__(
        self,
        examples: Examples,
        *,
        family: Family,
        zero: ZeroLatent,
        negative: Tensor,
        stage: Stage,
        size: int,
        steps: int,
        seed: int = 0,
        mixing: Mixing | None = None,
        sigmas: SigmaDistribution | None = None,
        mouth: float = 4.0,
        channels: Tensor | None = None,
    ) -> None:
        self._examples = examples
        self._family = family
        self._zero = zero
        self._negative = negative
        self._stage = stage
        self._total = size * steps
        self._seed = seed
        self._mixing = mixing or Mixing()
        self._sigmas = sigmas or SigmaDistribution()
        self._mouth = mouth
        self._channels = torch.ones(1) if channels is None else channels
        self.size = size
        self._order = Order(self._groups(), batch=size, seed=seed)

    def _groups(self) -> list[list[int]]:
        """Those of one shape and as many slots; without pictures every sample has one placeholder slot."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for index in range(len(self._examples)):
            slots = self._examples.people(index) if self._stage.has_pictures else 1
            groups.setdefault((slots, *self._examples.shape(index)), []).append(index)
        return [groups[kind] for kind in sorted(groups)]

    def batch(self, step: int, *, rank: int = 0, ranks: int = 1) -> Batch:
        """A rank's part of batch `step`; the parts of all ranks are the batch of one.

        Raises:
            InvalidInput: the batch cannot be divided by the ranks.
        """
        if self.size % ranks:
            raise InvalidInput(f"a batch of {self.size} on {ranks} ranks", fix="choose a multiple of the ranks")
        part = self.size // ranks
        places = range(rank * part, (rank + 1) * part)
        indices = self._order.indices(step)
        return _stack([self._sample(step * self.size + place, indices[place]) for place in places])

    def _sample(self, sample: int, index: int) -> _Sample:
        example = self._examples.example(index)
        given = self._mixing.given(self._stage, seed=self._seed, sample=sample, total=self._total)
        streams = Streams((self._seed, sample))
        generator = torch.Generator().manual_seed(int(streams.of("noise").integers(2**63)))
        references = example.references[int(streams.of("variant").integers(len(example.references)))]
        frames = example.latents.shape[1]
        slots = references.shape[1] if self._stage.has_pictures else 1
        zero = self._zero(frames + slots, *example.latents.shape[2:])
        # In these slots the sampler of the 17B's family integrates towards what its channels show there.
        tail = references if given.image else zero[:, frames : frames + slots]
        data = torch.cat((example.latents, tail), dim=1)
        sigma = self._sigmas.draw(generator)
        noise = torch.randn(data.shape, generator=generator)
        conditioning = self._conditioning(references if given.image else None, zero, slots, frames)
        shown, channels = conditioning.inputs(noisy(data, noise, sigma), image=given.image)
        return _Sample(
            latents=shown,
            timestep=timestep(sigma),
            tokens=example.tokens if given.text else self._negative,
            audio=_windows(example, given, slots),
            condition=channels,
            target=velocity(data, noise),
            weight=self._weight(example, slots),
            face=example.face,
        )

    def _conditioning(self, references: Tensor | None, zero: Tensor, slots: int, frames: int) -> Conditioning:
        if self._family is Family.SLOTS:
            return SlotConditioning(slots=slots, references=references)
        return channel_conditioning(references, zero, slots=slots, latent_frames=frames)

    def _weight(self, example: Example, slots: int) -> Tensor:
        """[1 or 16, N, h, w]. Overwritten slots carry no loss."""
        video = 1 + self._mouth * (example.mouth > 0).float()
        video = video / video.mean()
        tail = torch.full((slots, *video.shape[1:]), 0.0 if self._family is Family.SLOTS else 1.0)
        return self._channels[:, None, None, None] * torch.cat((video, tail))


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """One row of a batch."""

    latents: Tensor
    timestep: int
    tokens: Tensor
    audio: Tensor
    condition: Tensor | None
    target: Tensor
    weight: Tensor
    face: Tensor


def _windows(example: Example, given: Given, slots: int) -> Tensor:
    windows = audio.windows(example.features, example.latents.shape[1])
    return audio.with_references(windows if given.speech else torch.zeros_like(windows), slots)


def _stack(samples: Sequence[_Sample]) -> Batch:
    channels = [sample.condition for sample in samples if sample.condition is not None]
    return Batch(
        latents=torch.stack([sample.latents for sample in samples]),
        timestep=torch.tensor([sample.timestep for sample in samples]),
        tokens=pad_sequence([sample.tokens for sample in samples], batch_first=True),
        is_token=pad_sequence([torch.ones_like(sample.tokens) for sample in samples], batch_first=True).bool(),
        audio=torch.stack([sample.audio for sample in samples]),
        condition=torch.stack(channels) if channels else None,
        target=torch.stack([sample.target for sample in samples]),
        weight=torch.stack([sample.weight for sample in samples]),
        face=torch.stack([sample.face for sample in samples]),
    )
