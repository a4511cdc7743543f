"""How the reader is trained: on single frames of few clips, then of many; then on what it measures over time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from model_runtime.evaluation.attributes import SEEN_AT_ONCE, SEEN_IN_TIME
from model_runtime.evaluation.blemishes import blemished
from model_runtime.evaluation.lessons import Lesson, draw_glimpses, draw_lessons
from model_runtime.evaluation.reader import Frames, Reader, Time, as_input, whole_way, windows
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World

_MOUTH, _POSE = 25.0, 3.0
"""Weights of the squared errors beside the sum of cross-entropies."""
_WARMUP = 100
_EVERY = 200
"""Steps between two lines."""
_TIME_BATCH = 256
_GLIMPSES = 2
"""Frames of each glimpsed clip."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Schooling:
    """All that decides the weights, beside the machine's arithmetic."""

    seed: int = 0
    clips: int = 1500
    """Of the train split; a fifth of them with two people."""
    steps: int = 1500
    glimpsed: int = 16_000
    """More clips of which two frames each are seen: for many more people."""
    glimpsed_steps: int = 3000
    time_steps: int = 3000
    batch: int = 96
    learning_rate: float = 2e-3


def train_reader(schooling: Schooling, *, world: World | None = None, say: Say | None = None) -> Reader:
    """A reader from nothing; the same schooling gives the same one on one machine with as many threads."""
    say = say or _to_stderr
    began = time.process_time()
    torch.manual_seed(schooling.seed)
    generator = torch.Generator().manual_seed(schooling.seed)
    known = _Known.of(_drawn(world or World(seed=schooling.seed), schooling.clips, say))
    say(f"{len(known.views)} views drawn; {time.process_time() - began:.0f} s of processor time")
    reader = Reader()
    _learn_frames(reader.frames, known, schooling, generator, say)
    more = _Known.of(_glimpsed(world or World(seed=schooling.seed), schooling, say))
    later = replace(schooling, steps=schooling.glimpsed_steps, learning_rate=schooling.learning_rate / 2)
    _learn_frames(reader.frames, more, later, generator, say)
    _learn_time(reader, known, schooling, generator, say)
    say(f"done; {time.process_time() - began:.0f} s of processor time")
    return reader.eval()


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _drawn(world: World, clips: int, say: Say) -> list[Lesson]:
    found: list[Lesson] = []
    for done, lessons in enumerate(draw_lessons(world, Split.TRAIN, clips), start=1):
        found += lessons
        if done % 500 == 0:
            say(f"{done}/{clips} clips drawn")
    return found


def _glimpsed(world: World, schooling: Schooling, say: Say) -> list[Lesson]:
    found: list[Lesson] = []
    drawn = draw_glimpses(world, Split.TRAIN, schooling.glimpsed, start=schooling.clips, frames=_GLIMPSES)
    for done, lessons in enumerate(drawn, start=1):
        found += lessons
        if done % 2000 == 0:
            say(f"{done}/{schooling.glimpsed} more clips glimpsed")
    return found


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Lessons of equal length as one, N views of T frames."""

    views: Tensor
    """uint8 [N, T, 3, 64, 64]."""
    truth: dict[str, Tensor]
    """int64 [N] by name."""
    hair: Tensor
    mouth: Tensor
    pose: Tensor

    @classmethod
    def of(cls, lessons: Sequence[Lesson]) -> _Known:
        return cls(
            views=torch.stack([lesson.view for lesson in lessons]),
            truth={
                name: torch.tensor([lesson.truth[name] for lesson in lessons]) for name in SEEN_AT_ONCE | SEEN_IN_TIME
            },
            hair=torch.stack([lesson.hair for lesson in lessons]),
            mouth=torch.stack([lesson.mouth for lesson in lessons]),
            pose=torch.stack([lesson.pose for lesson in lessons]),
        )


def _learn_frames(frames: Frames, known: _Known, schooling: Schooling, generator: torch.Generator, say: Say) -> None:
    frames.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # takes it for modules too
    steps, rate, batch = schooling.steps, schooling.learning_rate, schooling.batch
    optimiser = torch.optim.AdamW(frames.parameters(), rate, weight_decay=0.02)
    recent = 0.0
    for step in range(steps):
        _set_rate(optimiser, rate, step, steps)
        rows = torch.randint(len(known.views), (batch,), generator=generator)
        at = torch.randint(known.views.shape[1], (batch,), generator=generator)
        beside = (at + torch.randint(-2, 3, at.shape, generator=generator)).clamp(0, known.views.shape[1] - 1)
        shown = blemished(as_input(known.views[rows, at]), as_input(known.views[rows, beside]), generator)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = frames(shown.contiguous(memory_format=torch.channels_last))
        loss = _loss(outputs, known, rows, at)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        recent += loss.item()
        if (step + 1) % _EVERY == 0:
            say(f"frames {step + 1}/{steps}: loss {recent / _EVERY:.3f}")
            recent = 0.0
    frames.eval()


def _set_rate(optimiser: torch.optim.Optimizer, most: float, step: int, steps: int) -> None:
    """Up in a hundred steps, then down in a straight line."""
    for group in optimiser.param_groups:
        group["lr"] = most * min((step + 1) / _WARMUP, 1.0) * (1 - step / steps)


def _loss(outputs: tuple[dict[str, Tensor], Tensor, Tensor], known: _Known, rows: Tensor, at: Tensor) -> Tensor:
    logits, mouth, pose = outputs
    loss = sum(
        (
            functional.cross_entropy(logits[name].float(), known.truth[name][rows])
            for name in SEEN_AT_ONCE
            if name != "hair"
        ),
        start=_any_of(logits["hair"].float(), known.hair[rows]),
    )
    loss = loss + _MOUTH * functional.mse_loss(mouth.float(), known.mouth[rows, at])
    return loss + _POSE * functional.mse_loss(pose.float(), known.pose[rows, at])


def _any_of(logits: Tensor, allowed: Tensor) -> Tensor:
    """Minus log of the probability of all allowed values together: what a hat hides is not guessed at."""
    logs = logits.log_softmax(-1).masked_fill(allowed == 0, float("-inf"))
    return -logs.logsumexp(-1).mean()


@torch.no_grad()
def _measured(frames: Frames, known: _Known, generator: torch.Generator) -> Tensor:
    """[N, T, 7]: every view's poses as the network measures them in blemished frames."""
    length = known.views.shape[1]
    found = []
    for view in known.views:
        clean = as_input(view)
        shown = blemished(clean, clean.roll(1, 0), generator)
        with torch.autocast("cpu", torch.bfloat16):
            found.append(frames(shown.contiguous(memory_format=torch.channels_last))[2].float())
    return torch.stack(found).view(len(known.views), length, -1)


def _learn_time(reader: Reader, known: _Known, schooling: Schooling, generator: torch.Generator, say: Say) -> None:
    poses = torch.stack([whole_way(one) for one in _measured(reader.frames, known, generator)])
    assert windows(poses[0]).shape[1:] == poses[0].shape
    network: Time = reader.time.train()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.05)
    recent = 0.0
    for step in range(schooling.time_steps):
        _set_rate(optimiser, 3e-3, step, schooling.time_steps)
        rows = torch.randint(len(poses), (_TIME_BATCH,), generator=generator)
        noise = torch.randn(poses[rows].shape, generator=generator)
        noise = noise * 0.15 * torch.rand(_TIME_BATCH, 1, 1, generator=generator)
        logits = network(poses[rows] + noise)
        loss = sum(
            (functional.cross_entropy(logits[name], known.truth[name][rows]) for name in SEEN_IN_TIME),
            start=torch.zeros(()),
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        recent += loss.item()
        if (step + 1) % 500 == 0:
            say(f"time {step + 1}/{schooling.time_steps}: loss {recent / 500:.3f}")
            recent = 0.0
    network.eval()
