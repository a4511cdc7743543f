"""The loop: windows of clips to steps, then whole clips, and at the end an autoencoder with unit latents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor, nn

from model_runtime.humo.config import VaeConfig
from model_runtime.humo.vae import build_vae
from model_runtime.training.autoencoder.footage import Footage
from model_runtime.training.autoencoder.loss import losses
from model_runtime.training.autoencoder.optimiser import KernelOptimiser
from model_runtime.training.autoencoder.publishing import note, publish, published
from model_runtime.training.autoencoder.quality import Quality
from model_runtime.training.autoencoder.start import begin
from model_runtime.training.autoencoder.statistics import Statistics, measure, standardise
from model_runtime.training.autoencoder.windows import Window, Windows, pixels
from model_runtime.training.average import Average
from model_runtime.training.divergence import Diverged
from model_runtime.training.optimiser import rate
from model_runtime.training.report import Report
from model_runtime.training.sitting import Sitting
from schemas.errors import InvalidInput

_MAY_CHANGE = frozenset({"steps", "whole_share", "learning_rate", "save_every", "check_every", "keep"})
"""More or fewer steps than were planned: rate and windows follow the new plan from there on."""
_MEASURED = 256
"""Clips whose latents are measured."""
_DECODER = ("decoder.", "post_quant_conv.")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run."""

    steps: int
    batch: int = 16
    window: Window = field(default_factory=Window)
    whole_share: float = 1 / 3
    """Share of the run, at its end, that looks at whole clips."""
    seed: int = 0
    learning_rate: float = 1e-3
    warmup: int = 30
    decay_share: float = 0.5
    """Share of the run, at its end, over which the rate falls."""
    clip: float = 1.0
    """Longest gradient."""
    average: float = 0.995
    """Decay of the weights' average."""
    decoder_only: bool = False
    """The latents stay as they are: nothing before them is trained, and their statistics are left alone."""
    half: bool = True
    """Convolutions in bfloat16."""
    save_every: int = 500
    check_every: int = 500
    """Steps between looks at the validation clips; 0 looks at the end only."""
    keep: int = 2
    """Checkpoints that stay."""

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.save_every, self.keep) < 1 or self.check_every < 0:
            raise InvalidInput("steps, batch, save_every and keep are at least 1, check_every at least 0")
        if self.learning_rate <= 0 or self.clip <= 0 or not 0 <= self.whole_share <= 1:
            raise InvalidInput("learning_rate and clip are positive, whole_share is 0 to 1")

    def is_whole(self, step: int) -> bool:
        """Does that step look at whole clips?"""
        return step >= round(self.steps * (1 - self.whole_share))


class AutoencoderTrainer:
    """One run from its first step to its published weights, or any part of the way.

    Args:
        config: of the autoencoder, with `is_standardised`.
        footage: what it learns from.
        quality: judges it, on clips that it does not learn from.
        settings: how.
        out: the run's folder.
        start_from: published weights to begin with; needed where only the decoder is trained.
        about: what else the numbers depend on; a run resumes only where it is the same.

    Raises:
        InvalidInput: the weights to start from do not fit, or settings make no sense together.
    """

    def __init__(
        self,
        config: VaeConfig,
        footage: Footage,
        quality: Quality,
        settings: Settings,
        out: Path,
        *,
        start_from: Path | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        if not config.is_standardised:
            raise InvalidInput("only an autoencoder that holds its own latents' statistics is trained")
        if settings.decoder_only and start_from is None:
            raise InvalidInput("the decoder alone is trained from weights that are there", fix="add --start-from FILE")
        self._config = config
        self._footage = footage
        self._quality = quality
        self._settings = settings
        self._out = out
        begun_with = (
            hashlib.sha256(start_from.read_bytes()).hexdigest() if start_from and start_from.is_file() else None
        )
        known = {**asdict(settings), "vae": asdict(config), "start_from": begun_with, **(about or {})}
        # As JSON gives it back, so that a checkpoint's and this run's can be compared.
        self._about = json.loads(json.dumps(known))
        self._windows = Windows(footage, batch=settings.batch, window=settings.window, seed=settings.seed)
        self.vae = published(start_from, config) if start_from else _new(config, seed=settings.seed)
        self.vae.requires_grad_()
        if settings.decoder_only:
            for name, value in self.vae.named_parameters():
                value.requires_grad_(name.startswith(_DECODER))
        self._trained = {name: value for name, value in self.vae.named_parameters() if value.requires_grad}
        self._optimiser = KernelOptimiser(self._trained, settings.learning_rate)
        self._sitting = Sitting(
            out,
            self._trained,
            about=self._about,
            may_change=_MAY_CHANGE,
            decay=settings.average,
            keep=settings.keep,
        )
        self._is_asked_to_stop = False

    def start(self, *, resume: bool) -> list[str]:
        """Go on from the latest whole checkpoint, or begin; returns what was passed over because it is damaged.

        Raises:
            Refused: there are checkpoints and nobody asked to resume, or they are of another run.
        """
        found = self._sitting.begin(resume=resume)
        if found is not None:
            self._optimiser.load_state_dict(found.optimiser)
        return self._sitting.damaged

    @property
    def step(self) -> int:
        """Finished steps."""
        return self._sitting.step

    @property
    def average(self) -> Average:
        return self._sitting.average

    def stop(self) -> None:
        """Ask for an end after the current step; safe in a signal handler."""
        self._is_asked_to_stop = True

    def run(self, *, until: int | None = None) -> bool:
        """Train to the end or until so many steps are finished, save, and publish what is finished.

        Returns:
            Is the run finished?

        Raises:
            Diverged: the weights are as they were before the step that failed; the last good checkpoint is named.
        """
        last = min(self._settings.steps, until or self._settings.steps)
        with Report(self._out, done=self.step, steps=self._settings.steps) as report:
            try:
                while self.step < last and not self._is_asked_to_stop:
                    report.step(self.step, self._one())
                    if self.step % self._settings.save_every == 0 or self.step == last or self._is_asked_to_stop:
                        self._save(report)
                    every = self._settings.check_every
                    if every and self.step % every == 0:
                        with self.average.in_place(self._trained):
                            self._check(self.vae)
            except Diverged as error:
                raise self._sitting.with_way_back(error, learning_rate=self._settings.learning_rate) from error
        if self.step < self._settings.steps:
            return False
        self._publish()
        return True

    def _one(self) -> dict[str, float]:
        """One step; the weights are touched last, after everything has been looked at."""
        settings, step = self._settings, self.step
        batch = self._windows.batch(step, is_whole=settings.is_whole(step))
        noise = torch.Generator().manual_seed((settings.seed << 32) + step)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.half):
            found = losses(self.vae, batch, noise)
        self._sitting.watch.loss(step, float(found.total.detach()))
        found.total.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self._trained.values(), settings.clip))
        self._sitting.watch.gradient(step, norm)
        part = rate(step, steps=settings.steps, warmup=settings.warmup, decay_share=settings.decay_share)
        self._optimiser.set_rate(part)
        self._optimiser.step()
        self._sitting.step += 1
        self.average.update(self._trained, self.step)
        told = {name: float(value.detach()) for name, value in found._asdict().items()}
        return {"loss": told.pop("total"), **told, "gradient": norm, "rate": settings.learning_rate * part}

    def _save(self, report: Report) -> None:
        self._sitting.require_finite()
        report.flush()
        self._sitting.save(self._optimiser.state_dict())

    def _check(self, vae: AutoencoderKLWan) -> dict[str, float]:
        """Figures and a sheet of these weights, in `quality/`."""
        figures = self._quality(vae)
        folder = self._out / "quality"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{self.step:08d}"
        (folder / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        self._quality.sheet(vae).save(folder / f"{name}.png")
        return figures

    def _publish(self) -> None:
        """The average, with unit latents, as its bfloat16 file has it: that is what is judged."""
        with self.average.in_place(self._trained):
            finished = _copy(self.vae, self._config)
        statistics = measure(finished, self._videos())
        if not self._settings.decoder_only:
            standardise(finished, statistics)
        found = published(publish(self._out, finished, self._config), self._config)
        note(
            self._out,
            {
                **self._about,
                "steps_done": self.step,
                "parameters": sum(value.numel() for value in found.parameters()),
                "quality": self._check(found),
                "latents_before": _listed(statistics),
                "latents": _listed(measure(found, self._videos())),
            },
        )

    def _videos(self) -> Iterator[Tensor]:
        for start in range(0, min(_MEASURED, len(self._footage)), 4):
            yield pixels(self._footage.frames[start : start + 4])


def _new(config: VaeConfig, *, seed: int) -> AutoencoderKLWan:
    vae = build_vae(config)
    begin(vae, seed=seed)
    return vae


def _copy(vae: nn.Module, config: VaeConfig) -> AutoencoderKLWan:
    other = build_vae(config)
    other.load_state_dict(vae.state_dict())
    return other.requires_grad_(False)


def _listed(statistics: Statistics) -> dict[str, list[float]]:
    return {
        name: [round(value, 5) for value in values.tolist()]
        for name, values in (("mean", statistics.mean), ("deviation", statistics.deviation))
    }
