"""What things cost a host in memory, in a process of its own: `python -m tests.support.humo_memory STEP=WHERE ...`.

Each step prints one JSON line; then the process stays as it is until its standard input ends. A process that was
forked by another begins with that one's `ru_maxrss`, so the kernel's own mark is read, and set back before each step.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from media.encode import ClipEncoder
from model_runtime.humo import pipeline, vae
from model_runtime.humo.cli import main as model_command
from model_runtime.humo.config import TINY_RANDOM
from model_runtime.humo.weights import verify  # noqa: F401 - its libraries are to be here before anything is measured
from model_runtime.humo.weights.blueprint import Blueprint
from model_runtime.humo.weights.checkpoint import open_checkpoint
from model_runtime.humo.weights.loading import load

CPU = torch.device("cpu")
LAYERS, WIDE, NARROW = 16, 4096, 1024
SIDE = 192

_kept: list[nn.Module] = []


def peak() -> int:
    """The most bytes that this process has had in memory since `forget_peak`."""
    return _status("VmHWM")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{key}:")).split()[1])


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def stack() -> Blueprint[nn.ModuleList]:
    """A model of sixteen equal matrices."""
    with torch.device("meta"):
        model = nn.ModuleList(nn.Linear(WIDE, NARROW, bias=False) for _ in range(LAYERS))
    return Blueprint(what="stack", model=model, names={name: name for name in model.state_dict()})


def verified(root: Path) -> dict[str, Any]:
    """`model verify` of a folder in which both real sizes lie."""
    found = {}
    for name in ("humo-17B", "humo-1.7B"):
        said = io.StringIO()
        forget_peak()
        before = peak()
        with contextlib.redirect_stdout(said):
            code = model_command(["verify", name, "--quick", "--json", "--weights", str(root)])
        found[name] = {"code": code, "grown": peak() - before, "said": json.loads(said.getvalue() or "{}")}
    return found


def loaded(index: Path) -> dict[str, Any]:
    """A float32 checkpoint loaded in bfloat16: every byte is read and none can stay where it lies."""
    forget_peak()
    before = peak()
    model = load(stack(), open_checkpoint(index), device=CPU, dtype=torch.bfloat16)
    return {"grown": peak() - before, "held": sum(p.numel() * p.itemsize for p in model.parameters())}


def kept(index: Path) -> dict[str, Any]:
    """The same checkpoint in its own dtype, every number looked at, kept until the process ends."""
    before = _status("RssAnon")
    model = load(stack(), open_checkpoint(index), device=CPU, dtype=torch.float32)
    total = sum(float(value.sum()) for value in model.parameters())
    _kept.append(model)
    return {"anonymous": _status("RssAnon") - before, "total": total}


def encoded(path: Path) -> dict[str, Any]:
    """Clips of 25 and then 97 frames, from latents through the decoder into the encoder."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        decoder = vae.build_vae(TINY_RANDOM.vae)
        latents = torch.randn(16, pipeline.latent_frames(97), SIDE // vae.STRIDE, SIDE // vae.STRIDE)
    found: dict[str, Any] = {}
    for frames in (25, 97):
        forget_peak()
        count = 0
        with ClipEncoder(path, width=SIDE, height=SIDE, fps=25, timeout_s=200) as encoder:
            for frame in pipeline.frames(decoder, latents[:, : pipeline.latent_frames(frames)]):
                encoder.write(frame.tobytes())
                count += 1
            encoder.finish()
        found[str(frames)] = {"peak": peak(), "frames": count}
    return found


STEPS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "verified": verified,
    "loaded": loaded,
    "kept": kept,
    "encoded": encoded,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for step in sys.argv[1:]:
        name, _, where = step.partition("=")
        print(json.dumps({name: STEPS[name](Path(where))}), flush=True)
    sys.stdin.read()
    # Taking such a process down in order takes seconds.
    os._exit(0)
