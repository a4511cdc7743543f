"""The whole training of the small model, piece after piece; each goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator, InitProcessGroupKwargs  # type: ignore[import-untyped]  # ships no types
from safetensors.torch import load_file

from model_runtime.humo.weights.layout import find_model
from model_runtime.training.assembly import Sources, assemble
from model_runtime.training.autoencoder import command as autoencoder
from model_runtime.training.autoencoder.publishing import VAE, published
from model_runtime.training.cache.drawn import Drawing
from model_runtime.training.cache.encoded import EncodedExamples, Encoding
from model_runtime.training.cache.shards import make_shards
from model_runtime.training.optimiser import muon
from model_runtime.training.publishing import TRANSFORMER
from model_runtime.training.sensitivity import channel_weights
from model_runtime.training.small.beginning import write_beginning
from model_runtime.training.small.course import Course
from model_runtime.training.small.packaging import package
from model_runtime.training.small.plan import Plan
from model_runtime.training.trainer import Settings
from model_runtime.training.variant import Variant
from schemas.errors import InvalidInput, Refused

MODEL = "humo-small"
_PIECES = ("autoencoder", "latents", *Course, "package")
_WAIT_FOR_FIRST = timedelta(days=2)
"""Ranks wait for the one that trains the autoencoder and draws."""
_CHANNELS = "channels.json"
"""How much each latent channel counts."""
_WARMUP = 100
_OF_AUTOENCODER = ("--batch", "8", "--learning-rate", "2e-3", "--whole-share", "0.15")
"""Many small steps: half the windows of the command's own default, at twice its rate."""
_LOOKED_AT = 4
"""Clips that the channels' weights are measured on."""


class Run(Protocol):
    """Whatever trains step by step."""

    @property
    def step(self) -> int: ...

    def start(self, *, resume: bool) -> list[str]: ...

    def stop(self) -> None: ...

    def run(self) -> bool: ...


Stopping = Callable[[Run], AbstractContextManager[None]]
"""Inside the block, signals end the run after its current step."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Where everything is.

    Args:
        plan: how much of what.
        out: of the whole training.
        weights: folder that gets the finished model.
        cache: of clips and latents.
        vae: an autoencoder that is trained already; None trains one.
        like: folder of a training whose autoencoder, latents and stage 1 are taken: stage 2 alone is trained.
        variant: of stage 2.
        processes: that draw and encode side by side.
        save_every: steps between checkpoints.
        sample_every: steps between sheets; 0 draws none.
        repair: look for damaged shards, and make them again.
        precision: of the stages' matrix products, as accelerate names it.
    """

    plan: Plan
    out: Path
    weights: Path
    cache: Path
    vae: Path | None = None
    like: Path | None = None
    variant: Variant = Variant.PAPER
    processes: int = 2
    save_every: int = 250
    sample_every: int = 0
    repair: bool = False
    precision: str = "bf16"

    @property
    def beginning(self) -> Path:
        """Weights folder of the first steps."""
        return (self.like or self.out) / "beginning"

    @property
    def courses(self) -> tuple[Course, ...]:
        """Those that are trained here."""
        return (Course.STAGE2,) if self.like else tuple(Course)

    def before(self, course: Course) -> Path | None:
        """Folder of the course that this one starts from."""
        return (self.like or self.out) / course.before if course.before else None

    def encodings(self) -> list[tuple[Encoding, int]]:
        """What is learned from, row by row, with its shards."""
        return [
            (
                Encoding(
                    drawing=Drawing(world=world, variants=self.plan.variants),
                    drawn=self.cache / "drawn",
                    weights=self.beginning,
                    model=MODEL,
                ),
                shards,
            )
            for world, shards in self.plan.rows
        ]


def train(work: Work, stopping: Stopping) -> bool:
    """All pieces in order; what is finished is passed over.

    Returns:
        Is the model packaged? False where a signal ended it before.

    Raises:
        Refused: the folder holds a training of another plan.
        InvalidInput: a shard is damaged, or the autoencoder is not one of the small model.
        Diverged: a stage went wrong; its last good checkpoint is kept.
    """
    accelerator = Accelerator(
        # Said, because accelerate takes several ranks without a GPU for as many runs of one.
        cpu=not torch.cuda.is_available(),
        mixed_precision=work.precision,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_WAIT_FOR_FIRST)],
    )
    diary = Diary(work.out / "pieces.json", is_kept=accelerator.is_main_process)
    # What is no stage is done by the first rank; the others wait for it.
    is_ready = _prepare(work, diary, stopping) if accelerator.is_main_process else True
    if not _all(accelerator, is_ready):
        return False
    for course in work.courses:
        if not _course(work, diary, course, stopping, accelerator):
            return False
    if accelerator.is_main_process:
        with diary.piece("package"):
            package(work.beginning, work.out, work.weights, facts=facts(work), vae=work.vae)
    accelerator.wait_for_everyone()
    return True


def _all(accelerator: Accelerator, is_so: bool) -> bool:
    refusing = torch.tensor(0.0 if is_so else 1.0, device=accelerator.device)
    return not float(accelerator.reduce(refusing, "sum"))


def _prepare(work: Work, diary: Diary, stopping: Stopping) -> bool:
    """Autoencoder and latents; False where a signal came first."""
    if work.like is not None:
        _require_stage1(work.like)
    _keep_plan(work)
    if work.like is not None:
        return True
    vae = _autoencoder(work, diary, stopping)
    if vae is None:
        return False
    _latents(work, diary, vae)
    return True


def _require_stage1(like: Path) -> None:
    if not (like / Course.STAGE1 / TRANSFORMER).is_file() or not (like / _CHANNELS).is_file():
        raise InvalidInput(f"{like} holds no finished stage 1", fix="train that one first, or name another with --like")


def _keep_plan(work: Work) -> None:
    path = work.out / "plan.json"
    now = {**work.plan.as_json(), "variant": work.variant.value}
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = sorted(name for name in now if name not in {"steps"} and before.get(name) != now[name])
        if other:
            raise Refused(
                f"{work.out} holds a training with {', '.join(f'{name} {before.get(name)}' for name in other)}, "
                f"asked for were {', '.join(str(now[name]) for name in other)}",
                fix="name the same options, or another folder with --out",
            )
    work.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _autoencoder(work: Work, diary: Diary, stopping: Stopping) -> Path | None:
    """The trained autoencoder's file, or None where a signal came first."""
    if work.vae is not None:
        return work.vae
    out = work.out / "autoencoder"
    steps = work.plan.steps["autoencoder"]
    if diary.is_finished("autoencoder", steps):
        return out / VAE
    parser = argparse.ArgumentParser()
    autoencoder.add_options(parser)
    numbers = {"steps": steps, "clips": work.plan.footage, "seed": work.plan.seed, "save-every": work.save_every}
    options = ["--out", str(out), *_OF_AUTOENCODER]
    options += [word for name, value in numbers.items() for word in (f"--{name}", str(value))]
    with diary.piece("autoencoder", steps) as note, _threads(os.cpu_count() or 1):
        is_finished = _run(autoencoder.trainer(parser.parse_args(options)), stopping, note)
    return out / VAE if is_finished else None


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """All cores: ranks have one each, and here the others wait. Where somebody has said how many, it stays."""
    before = torch.get_num_threads()
    if os.environ.get("TORCHELASTIC_RUN_ID"):
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(trainer: Run, stopping: Stopping, note: dict[str, Any]) -> bool:
    for damaged in trainer.start(resume=True):
        sys.stderr.write(f"passed over a damaged checkpoint: {damaged}\n")
    with stopping(trainer):
        is_finished = trainer.run()
    note["steps"] = trainer.step
    return is_finished


def _latents(work: Work, diary: Diary, vae: Path) -> None:
    """The weights to begin with, and every shard that the plan asks for."""
    model = find_model(MODEL)
    with diary.piece("latents"):
        published(vae, model.config.vae)
        write_beginning(work.beginning, model, vae=load_file(vae), seed=work.plan.seed)
        for encoding, count in work.encodings():
            shards = encoding.shards(work.cache / "latents")
            if work.repair:
                for store in (shards, encoding.drawing.shards(work.cache / "drawn")):
                    for number in store.damaged(count):
                        sys.stderr.write(f"{store.path(number)} is damaged and is made again\n")
                        store.discard(number)
            make_shards(shards, count, encoding, processes=work.processes, on_shard=_tell)
        first = work.encodings()[0][0].shards(work.cache / "latents").read(0)["latents"][:_LOOKED_AT].float()
        autoencoder_now = published(work.beginning / model.layout.vae.local, model.config.vae)
        found = channel_weights(autoencoder_now, first, seed=work.plan.seed)
        (work.out / _CHANNELS).write_text(json.dumps([round(value, 4) for value in found.tolist()]), encoding="utf-8")


def _tell(done: int, count: int) -> None:
    sys.stderr.write(f"{done} of {count} shards\n")


def _course(work: Work, diary: Diary, course: Course, stopping: Stopping, accelerator: Accelerator) -> bool:
    variant = Variant.FULL if course is Course.FINETUNE else work.variant
    plan, out = work.plan, work.out / course
    steps = plan.steps[course]
    if diary.is_finished(course, steps) and (out / TRANSFORMER).is_file():
        return True
    examples = EncodedExamples(
        [(encoding.shards(work.cache / "latents"), count) for encoding, count in work.encodings()]
    )
    trainer = assemble(
        Sources(
            weights=work.beginning,
            model=MODEL,
            start_from=work.before(course),
            world=plan.rows[0][0],
            clips=len(examples),
        ),
        Settings(
            stage=course.stage,
            steps=steps,
            seed=plan.seed,
            learning_rate=plan.learning_rate,
            warmup=min(_WARMUP, steps // 10),
            save_every=work.save_every,
            sample_every=work.sample_every,
        ),
        out,
        batch=plan.batch,
        train_text=course is Course.BASE,
        focus_weight=variant.focus_weight,
        is_full=variant.is_full and course.stage.has_speech,
        mixing=course.mixing or variant.mixing,
        accelerator=accelerator,
        optimise=muon,
        examples=examples,
        channels=torch.tensor(json.loads(((work.like or work.out) / _CHANNELS).read_text(encoding="utf-8"))),
    )
    with diary.piece(course, steps) as note:
        note["ranks"] = accelerator.num_processes
        return _run(trainer, stopping, note)


class Diary:
    """What each piece took, over all sittings; also says which one is at work."""

    def __init__(self, path: Path, *, is_kept: bool = True) -> None:
        self._path = path
        self._is_kept = is_kept
        self.pieces: dict[str, dict[str, Any]] = {}
        if path.is_file():
            self.pieces = json.loads(path.read_text(encoding="utf-8"))

    def is_finished(self, name: str, steps: int) -> bool:
        return bool(self.pieces.get(name, {}).get("steps", 0) >= steps)

    @contextmanager
    def piece(self, name: str, steps: int | None = None) -> Iterator[dict[str, Any]]:
        """A sitting of that piece; what is noted in the dictionary is kept."""
        what = f", {steps} steps" if steps else ""
        if not self._is_kept:
            yield {}
            return
        sys.stderr.write(f"piece {_PIECES.index(name) + 1} of {len(_PIECES)}: {name}{what}\n")
        note = self.pieces.setdefault(name, {"seconds": 0.0})
        start = time.monotonic()
        try:
            yield note
        finally:
            note["seconds"] = round(note["seconds"] + time.monotonic() - start, 1)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self.pieces, indent=1) + "\n", encoding="utf-8")


def facts(work: Work) -> dict[str, Any]:
    """What a model card says of how the weights came about."""
    diary = Diary(work.out / "pieces.json")
    return {
        "model": MODEL,
        "plan": work.plan.as_json(),
        "variant": work.variant.value,
        "worlds": [world.digest for world, _ in work.plan.rows],
        "autoencoder": str(work.vae.name) if work.vae else "trained with it",
        "pieces": diary.pieces,
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "device": "cuda" if torch.cuda.is_available() else "cpu",
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
