"""Is what lies in a weights folder the model? Headers and digests only: no tensor is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_runtime.humo.weights import blueprint
from model_runtime.humo.weights.blueprint import Blueprint
from model_runtime.humo.weights.checkpoint import compare, open_checkpoint, require
from model_runtime.humo.weights.layout import HumoModel


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a model that fits."""

    name: str
    path: Path
    tensors: int
    dtypes: tuple[str, ...]
    extra: tuple[str, ...]
    """Tensors that the model has no use for."""


def blueprints(root: Path, model: HumoModel) -> Iterator[tuple[str, Path, Blueprint[Any]]]:
    """Name, file and blueprint of every part with tensors."""
    layout, config = model.layout, model.config
    settings = root / layout.speech_settings[0].local
    width = config.transformer.audio_channels
    yield "transformer", root / layout.transformer.local, blueprint.transformer(config.transformer)
    yield "vae", root / layout.vae.local, blueprint.autoencoder(config.vae)
    yield "text encoder", root / layout.text.local, blueprint.text_encoder(config.text)
    yield "speech encoder", root / layout.speech.local, blueprint.speech_encoder(settings, width=width)


def verify_tensors(root: Path, model: HumoModel) -> tuple[Part, ...]:
    """Every part's names, shapes and types are the model's.

    Raises:
        InvalidInput: files are missing or damaged, or a part does not fit.
    """
    parts = []
    for name, path, plan in blueprints(root, model):
        checkpoint = open_checkpoint(path)
        found = compare(checkpoint, plan.wanted, ignored=plan.ignored)
        require(found, checkpoint, plan.what)
        parts.append(
            Part(
                name=name,
                path=checkpoint.path,
                tensors=len(plan.names),
                dtypes=tuple(sorted({checkpoint.tensors[key].dtype for key in plan.names})),
                extra=found.extra,
            )
        )
    return tuple(parts)
