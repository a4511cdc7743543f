"""From a training's folders to a weights folder as it ships: bfloat16, the published layout, a lock, and the facts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from model_runtime.humo.text import published_name
from model_runtime.humo.weights.checkpoint import shown
from model_runtime.humo.weights.layout import find_model
from model_runtime.humo.weights.verify import verify_tensors
from model_runtime.training.checkpoints import Checkpoints
from model_runtime.training.publishing import TEXT_ENCODER, TRANSFORMER
from model_runtime.training.small.beginning import lock_folder, write_tensors
from model_runtime.training.small.course import Course
from schemas.errors import InvalidInput
from schemas.weights import WeightsLock

MODEL = "humo-small"
LARGEST = 15_000_000
"""Bytes of all files together."""
FACTS = "training.json"
"""Beside the weights, not locked: how they came about."""
_TO_LATENTS = ("encoder.", "conv1.")
"""Published names of what a clip goes through on its way to latents."""


def package(
    beginning: Path, out: Path, weights: Path, *, facts: Mapping[str, Any], vae: Path | None = None
) -> WeightsLock:
    """Write the averaged weights of the latest stage that there is, finished or not, with all that they need.

    Args:
        beginning: weights folder that training began with: autoencoder, ear and tokenizer are taken as they are there.
        out: the training's folder, with one folder per stage.
        weights: weights folder to write; an earlier `humo-small` in it is replaced.
        facts: what the model card says; the stage and step of these weights are added.
        vae: an autoencoder whose decoder was trained on since; None: as it was in the beginning.

    Raises:
        InvalidInput: no stage has any weights, or they do not fit, or all is larger than it may be; or the autoencoder
            has other latents than those that were trained on.
    """
    model = find_model(MODEL)
    layout = model.layout
    transformer, text, reached = latest(out)
    folder = Path(layout.transformer.local).parts[0]
    shutil.rmtree(weights / folder, ignore_errors=True)
    shutil.copytree(beginning / folder, weights / folder)
    for source, tensors in ((layout.transformer, transformer), (layout.text, text)):
        write_tensors(weights / source.local, tensors, dtype=torch.bfloat16)
    local = weights / layout.vae.local
    write_tensors(local, _same_latents(load_file(local), vae), dtype=torch.bfloat16)
    about = {**facts, "reached": reached}
    (weights / folder / FACTS).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    lock = lock_folder(weights, model)
    verify_tensors(weights, model)
    size = sum(file.size for file in lock.files.values())
    if size > LARGEST:
        raise InvalidInput(f"{MODEL} has {size} bytes, expected at most {LARGEST}")
    return lock


def _same_latents(before: dict[str, Tensor], path: Path | None) -> dict[str, Tensor]:
    """The autoencoder to ship: it may decode otherwise, but not encode otherwise."""
    if path is None:
        return before
    found = load_file(path)
    other = [
        name
        for name in before
        if name.startswith(_TO_LATENTS)
        and not (name in found and torch.equal(found[name], before[name].to(found[name])))
    ]
    if other:
        raise InvalidInput(
            f"{path} has other latents than the transformer was trained on: {shown(other)}",
            fix="train its decoder alone (--decoder-only), or train the stages again on its latents",
        )
    return found


def latest(out: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Transformer and text encoder under published names, and where they are from: stage, step, finished or not.

    Raises:
        InvalidInput: there is nothing yet.
    """
    for course in reversed(Course):
        folder, before = out / course, course.before
        checkpoint = Checkpoints(folder / "checkpoints").latest()
        if (folder / TRANSFORMER).is_file():
            step = checkpoint.step if checkpoint else None
            found = load_file(folder / TRANSFORMER), load_file(folder / TEXT_ENCODER)
            return *found, {"course": course.value, "step": step, "is_finished": True}
        if checkpoint is not None and before is not None and (out / before / TRANSFORMER).is_file():
            transformer, text = load_file(out / before / TRANSFORMER), load_file(out / before / TEXT_ENCODER)
            for name, value in checkpoint.average.items():
                _put(name, value, transformer, text)
            return transformer, text, {"course": course.value, "step": checkpoint.step, "is_finished": False}
    raise InvalidInput(f"{out} holds no finished stage", fix="train on: the base is the first that can be packaged")


def _put(name: str, value: Tensor, transformer: dict[str, Tensor], text: dict[str, Tensor]) -> None:
    """A trained weight to its place; the mask predictor is not published."""
    part, _, own = name.partition(".")
    if part == "transformer":
        transformer[own] = value
    elif part == "text":
        published = published_name(own)
        if published:
            text[published] = value
