"""The weights that ship with the project: whole, small, and what they claim to be."""

from __future__ import annotations

import json

import torch

from model_runtime.humo.loaded import load_model
from model_runtime.humo.weights.layout import find_model
from model_runtime.humo.weights.lockfile import check_digests, read_lock
from model_runtime.humo.weights.verify import verify_tensors
from model_runtime.training.small.course import Course
from model_runtime.training.small.packaging import FACTS, LARGEST
from tests.support.cli import ROOT

WEIGHTS = ROOT / "examples" / "weights"
MODEL = "humo-small"


def test_the_files_are_those_of_the_lock_and_small() -> None:
    """Every digest, name, shape and type; the lock knows all that lies there, but how it came about."""
    model, lock = find_model(MODEL), read_lock(WEIGHTS, MODEL)
    check_digests(WEIGHTS, lock)
    verify_tensors(WEIGHTS, model)
    files = {path.relative_to(WEIGHTS).as_posix() for path in WEIGHTS.rglob("*") if path.is_file()}
    assert files - set(lock.files) == {f"{MODEL}.lock.json", f"{MODEL}/{FACTS}"}
    assert sum((WEIGHTS / name).stat().st_size for name in files) <= LARGEST


def test_they_say_how_they_came_about() -> None:
    """Plan, pieces with steps and seconds, machine: what a model card needs."""
    facts = json.loads((WEIGHTS / MODEL / FACTS).read_text(encoding="utf-8"))
    assert facts["reached"]["course"] == "finetune"
    assert set(facts["pieces"]) >= {"latents", *Course}
    assert facts["machine"]["torch"]


def test_they_are_not_those_of_the_beginning() -> None:
    """Speech modules that were silent have learned to speak; every weight is a number."""
    loaded = load_model(WEIGHTS, find_model(MODEL), device=torch.device("cpu"), dtype=torch.float32)
    spoken = [value for name, value in loaded.transformer.named_parameters() if "audio_cross_attn.o.weight" in name]
    assert spoken
    assert all(float(value.detach().abs().max()) > 0 for value in spoken)
    assert all(torch.isfinite(value).all() for value in loaded.transformer.parameters())
