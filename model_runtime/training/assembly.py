"""From names and numbers to a trainer: which networks, which clips, and where they start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]  # ships no types
from torch import Tensor

from model_runtime.dataset.finished import FinishedDataset
from model_runtime.humo import vae as video_vae
from model_runtime.humo.loaded import Loaded, load_model
from model_runtime.humo.weights.layout import find_model
from model_runtime.humo.weights.lockfile import find_lock, read_lock
from model_runtime.humo.weights.tiny import make_tiny
from model_runtime.training.batches import Batches
from model_runtime.training.examples import Examples, WorldExamples, tokens
from model_runtime.training.kernels import use_quick_attention
from model_runtime.training.mixing import Mixing
from model_runtime.training.optimiser import Optimise, adamw
from model_runtime.training.publishing import start_from
from model_runtime.training.shards import ShardExamples
from model_runtime.training.sheets import SampleSheet
from model_runtime.training.trainee import Trainee
from model_runtime.training.trainer import Settings, Trainer
from model_runtime.training.world.world import World
from schemas.model_spec import WAN_NEGATIVE_PROMPT


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What training reads."""

    weights: Path
    model: str
    """By name; those that are made here are made where they are missing."""
    start_from: Path | None
    """Folder of the stage before; None starts from the model's own weights."""
    world: World
    clips: int
    data: Path | None = None
    """Folder of a finished dataset to train from, instead of the world's clips."""


def assemble(
    sources: Sources,
    settings: Settings,
    out: Path,
    *,
    batch: int,
    train_text: bool = False,
    focus_weight: float = 0.1,
    is_full: bool = False,
    mixing: Mixing | None = None,
    accelerator: Accelerator | None = None,
    optimise: Optimise = adamw,
    examples: Examples | None = None,
    channels: Tensor | None = None,
) -> Trainer:
    """A trainer of that stage at its first step.

    Args:
        sources: networks and clips.
        settings: how the stage is trained.
        out: the run's folder.
        batch: samples per step.
        train_text: the base trains the text encoder too.
        focus_weight: of the mask loss.
        is_full: every weight of the transformer is trained, not the stage's own alone.
        mixing: what samples are given.
        accelerator: device and precision.
        optimise: which optimiser.
        examples: encoded clips of the world; None draws and encodes them while training.
        channels: how much each latent channel counts, [16] of mean 1; None: all alike.

    Raises:
        InvalidInput: no such model, weights that are missing or do not fit, or too few clips for a batch.
    """
    accelerator = accelerator or Accelerator()
    loaded = _load(sources, accelerator.device)
    has_own_text = sources.start_from is not None and start_from(
        sources.start_from, loaded.transformer, loaded.text.encoder
    )
    zero = ZeroLatents(loaded)
    batches = Batches(
        _drawn_or_read(sources, loaded) if examples is None else examples,
        family=loaded.transformer.shape.family,
        zero=zero,
        negative=tokens(loaded.text, WAN_NEGATIVE_PROMPT),
        stage=settings.stage,
        size=batch,
        steps=settings.steps,
        seed=settings.seed,
        mixing=mixing,
        channels=channels,
    )
    sheet = SampleSheet(sources.world, loaded, out / "samples", zero=zero, stage=settings.stage)
    trainee = Trainee.for_stage(
        settings.stage,
        loaded.transformer,
        loaded.text.encoder,
        train_text=train_text,
        focus_weight=focus_weight,
        is_full=is_full,
        seed=settings.seed,
    )
    if accelerator.device.type == "cpu":
        use_quick_attention(trainee.transformer)
    return Trainer(
        trainee,
        batches,
        settings,
        out,
        accelerator=accelerator,
        optimise=optimise,
        about={
            "model": sources.model,
            "world": sources.world.digest,
            "clips": sources.clips if examples is None else len(examples),
            "data": FinishedDataset(sources.data).digest if sources.data else "",
            "train_text": train_text,
            "focus_weight": focus_weight,
            "is_full": is_full,
            "mixing": repr(mixing or Mixing()),
        },
        on_sample=sheet,
        publish_text=train_text or has_own_text,
    )


def _drawn_or_read(sources: Sources, loaded: Loaded) -> Examples:
    if sources.data is not None:
        return ShardExamples(sources.data, loaded)
    return WorldExamples(sources.world, loaded, count=sources.clips)


class ZeroLatents:
    """Latents of grey clips, each size encoded once; a longer one's head is a shorter one's whole."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._known: dict[tuple[int, int], Tensor] = {}

    def __call__(self, slots: int, rows: int, columns: int) -> Tensor:
        known = self._known.get((rows, columns))
        if known is None or known.shape[1] < slots:
            known = video_vae.zero_latent(self._loaded.vae, latent_frames=slots, rows=rows, columns=columns).cpu()
            self._known[rows, columns] = known
        return known[:, :slots]


def _load(sources: Sources, device: torch.device) -> Loaded:
    """Weights are trained in float32 whatever they are published in."""
    model = find_model(sources.model)
    if not model.published and find_lock(sources.weights, model.name) is None:
        make_tiny(sources.weights, model)
    read_lock(sources.weights, model.name)
    return load_model(sources.weights, model, device=device, dtype=torch.float32)
