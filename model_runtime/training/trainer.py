"""The loop: batches to steps, steps to checkpoints, and at the end the averaged weights under published names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]  # ships no types
from torch import nn

from model_runtime.training.average import Average
from model_runtime.training.batches import Batches
from model_runtime.training.divergence import Diverged
from model_runtime.training.optimiser import Optimise, adamw, rate
from model_runtime.training.publishing import publish
from model_runtime.training.report import Report
from model_runtime.training.sitting import Sitting
from model_runtime.training.stage import Stage
from model_runtime.training.trainee import Trainee
from schemas.errors import InvalidInput

OnSample = Callable[[Trainee, int], None]
"""Told the trainee, with the averaged weights in place, and the finished steps: draws a sheet, say."""

_MAY_CHANGE = frozenset({"steps", "warmup", "learning_rate", "save_every", "sample_every", "keep"})
"""More or fewer steps than were planned: rate and task mix follow the new plan from there on."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One stage's run."""

    stage: Stage
    steps: int
    seed: int = 0
    learning_rate: float = 1e-3
    warmup: int = 100
    """Steps until the full rate."""
    decay_share: float = 0.35
    """Share of the run, at its end, over which the rate falls."""
    clip: float = 1.0
    """Longest gradient."""
    average: float = 0.998
    """Decay of the weights' average."""
    save_every: int = 500
    sample_every: int = 0
    """0 draws no samples."""
    keep: int = 2
    """Checkpoints that stay."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.save_every < 1 or self.keep < 1 or self.sample_every < 0:
            raise InvalidInput("steps, save_every and keep are at least 1, sample_every at least 0")
        if self.learning_rate <= 0 or self.clip <= 0:
            raise InvalidInput("learning_rate and clip are positive")


class Trainer:
    """One stage from its first step to its published weights, or any part of the way.

    Args:
        trainee: frozen as the stage wants it.
        batches: of the same stage, steps and seed.
        settings: how.
        out: the run's folder.
        accelerator: device, precision and ranks; the machine's own choice by default.
        optimise: which optimiser.
        about: what else the numbers depend on (model, world); a run resumes only where it is the same.
        on_sample: called every `sample_every` steps, on the first rank.
        publish_text: publish the text encoder beside the transformer.
    """

    def __init__(
        self,
        trainee: Trainee,
        batches: Batches,
        settings: Settings,
        out: Path,
        *,
        accelerator: Accelerator | None = None,
        optimise: Optimise = adamw,
        about: Mapping[str, Any] | None = None,
        on_sample: OnSample | None = None,
        publish_text: bool = False,
    ) -> None:
        self._accelerator = accelerator or Accelerator()
        self._trainee = trainee
        self._batches = batches
        self._settings = settings
        self._out = out
        self._about = {**asdict(settings), "batch": batches.size, **(about or {})}
        self._on_sample = on_sample
        self._publish_text = publish_text
        self._is_asked_to_stop = False
        self._have_agreed_to_stop = False
        self._model, self._optimiser = self._accelerator.prepare(
            trainee, optimise(trainee.trained, settings.learning_rate)
        )
        self._sitting = Sitting(
            out,
            self._trained,
            about=self._about,
            may_change=_MAY_CHANGE,
            decay=settings.average,
            keep=settings.keep,
        )

    @property
    def _trained(self) -> dict[str, nn.Parameter]:
        return self._trainee.trained

    def start(self, *, resume: bool) -> list[str]:
        """Go on from the latest whole checkpoint, or begin; returns what was passed over because it is damaged.

        Raises:
            Refused: there are checkpoints and nobody asked to resume, or they are of another run.
        """
        found = self._sitting.begin(resume=resume)
        if found is not None:
            self._optimiser.load_state_dict(found.optimiser)
            for group in self._optimiser.param_groups:
                group["full_lr"] = group["share"] * self._settings.learning_rate
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

    @property
    def _is_stopping(self) -> bool:
        return self._is_asked_to_stop if self._accelerator.num_processes == 1 else self._have_agreed_to_stop

    def run(self, *, until: int | None = None) -> bool:
        """Train to the end or until so many steps are finished, save, and publish what is finished.

        Returns:
            Is the run finished?

        Raises:
            Diverged: the weights are as they were before the step that failed; the last good checkpoint is named.
        """
        last = min(self._settings.steps, until or self._settings.steps)
        is_first = self._accelerator.is_main_process
        with ExitStack() as stack:
            report = (
                stack.enter_context(Report(self._out, done=self.step, steps=self._settings.steps)) if is_first else None
            )
            try:
                while self.step < last and not self._is_stopping:
                    values = self._one()
                    if report:
                        report.step(self.step - 1, values)
                    if self.step % self._settings.save_every == 0 or self.step == last:
                        self._save(report)
                    self._sample()
                if self._is_stopping:
                    self._save(report)
            except Diverged as error:
                raise self._sitting.with_way_back(error, learning_rate=self._settings.learning_rate) from error
        is_finished = self.step >= self._settings.steps
        if is_finished and is_first:
            with self.average.in_place(self._trained):
                publish(
                    self._out,
                    self._trainee.transformer,
                    self._trainee.text if self._publish_text else None,
                    about={**self._about, "steps_done": self.step},
                )
        self._accelerator.wait_for_everyone()
        return is_finished

    def _one(self) -> dict[str, float]:
        """One step; the weights are touched last, after everything has been looked at."""
        settings, accelerator, step = self._settings, self._accelerator, self.step
        batch = self._batches.batch(step, rank=accelerator.process_index, ranks=accelerator.num_processes)
        part = rate(step, steps=settings.steps, warmup=settings.warmup, decay_share=settings.decay_share)
        for group in self._optimiser.param_groups:
            group["lr"] = group["full_lr"] * part
        losses = self._model(batch.to(accelerator.device))
        # A signal may reach one rank alone: all hear of it in the same step, or the others would wait for it for ever.
        asked = losses.total.new_tensor(float(self._is_asked_to_stop))
        said = torch.stack([*(loss.detach() for loss in losses), asked])
        total, flow, focus, asked_share = accelerator.reduce(said, "mean").tolist()
        self._sitting.watch.loss(step, total)
        accelerator.backward(losses.total)
        norm = float(accelerator.clip_grad_norm_(list(self._trained.values()), settings.clip))
        self._sitting.watch.gradient(step, norm)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._sitting.step += 1
        self._have_agreed_to_stop = asked_share > 0
        self.average.update(self._trained, self.step)
        return {"loss": total, "flow": flow, "focus": focus, "gradient": norm, "rate": settings.learning_rate * part}

    def _sample(self) -> None:
        every = self._settings.sample_every
        if self._on_sample and every and self.step % every == 0 and self._accelerator.is_main_process:
            with self.average.in_place(self._trained), torch.no_grad():
                self._on_sample(self._trainee, self.step)

    def _save(self, report: Report | None) -> None:
        self._sitting.require_finite()
        if report is None:
            return
        report.flush()
        self._sitting.save(self._optimiser.state_dict())
