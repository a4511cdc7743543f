"""`python -m model_runtime.training`: train a stage, or the autoencoder before all stages."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from model_runtime.training.autoencoder import command as autoencoder
from model_runtime.training.small import command as small
from model_runtime.training.stage import Stage
from schemas.errors import CallsheetError, InvalidInput
from schemas.settings import resolve

_INTERRUPTED = 130
"""As a shell says of a command that Ctrl-C ended."""
_TINY = "tiny-random"


class _Run(Protocol):
    """Whatever trains step by step."""

    @property
    def step(self) -> int: ...

    def start(self, *, resume: bool) -> list[str]: ...

    def stop(self) -> None: ...

    def run(self) -> bool: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Do what was asked for; errors go to standard error and end with what to do next."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.do(arguments))
    except CallsheetError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_runtime.training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    purpose = "train one stage on the procedural world; the defaults train tiny-random for a look at the way"
    train = commands.add_parser("train", help=purpose, description=purpose)
    train.set_defaults(do=_train)
    train.add_argument("--stage", type=Stage, choices=list(Stage), required=True)
    train.add_argument("--steps", type=int, required=True, help="steps of the whole stage")
    train.add_argument("--out", type=Path, required=True, help="folder of checkpoints, metrics and weights")
    train.add_argument("--resume", action="store_true", help="go on from the folder's latest checkpoint")
    train.add_argument("--start-from", type=Path, metavar="DIR", help="--out of the stage before")
    train.add_argument("--model", default=_TINY, help="whose networks; tiny-random is made where it is missing")
    train.add_argument("--weights", type=Path, help="weights folder; default: the setting `weights`")
    train.add_argument("--train-text", action="store_true", help="the base trains the text encoder too")
    train.add_argument("--batch", type=int, default=4)
    train.add_argument("--learning-rate", type=float, default=1e-3)
    train.add_argument("--warmup", type=int, default=100)
    train.add_argument("--focus-weight", type=float, default=0.1, help="of the mask loss; 0 leaves it out")
    train.add_argument("--full", action="store_true", help="train every weight of the transformer, not the stage's own")
    train.add_argument("--mix", type=int, nargs=2, default=(20, 50), metavar=("FROM", "TO"), help="percent with speech")
    train.add_argument("--save-every", type=int, default=500)
    train.add_argument("--sample-every", type=int, default=0, help="steps between sheets of samples; 0 draws none")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--clips", type=int, default=64, help="clips of the world")
    train.add_argument("--data", type=Path, metavar="DIR", help="train from a dataset's shards; it decides the sizes")
    train.add_argument("--frames", type=int, default=9)
    train.add_argument("--side", type=int, default=64, help="pixels, both ways")
    train.add_argument("--cpu", action="store_true", help="even where there is a GPU")
    train.add_argument("--precision", choices=("no", "bf16"), default="no", help="of matrix products")
    before = commands.add_parser("autoencoder", help=autoencoder.PURPOSE, description=autoencoder.PURPOSE)
    before.set_defaults(do=_train_autoencoder)
    autoencoder.add_options(before)
    whole = commands.add_parser("small", help=small.PURPOSE, description=small.PURPOSE)
    whole.set_defaults(do=lambda arguments: small.run(arguments, _stopping))
    small.add_options(whole)
    return parser


def _train(arguments: argparse.Namespace) -> int:
    if arguments.batch < 1 or arguments.steps < 1:
        raise InvalidInput("--batch and --steps are at least 1")
    return _go(arguments, _trainer(arguments), what=arguments.stage)


def _train_autoencoder(arguments: argparse.Namespace) -> int:
    return _go(arguments, autoencoder.trainer(arguments), what="autoencoder")


def _go(arguments: argparse.Namespace, trainer: _Run, *, what: str) -> int:
    for damaged in trainer.start(resume=arguments.resume):
        sys.stderr.write(f"passed over a damaged checkpoint: {damaged}\n")
    with _stopping(trainer):
        is_finished = trainer.run()
    if not is_finished:
        sys.stderr.write(f"stopped after step {trainer.step}; run the same command with --resume to go on\n")
        return _INTERRUPTED
    sys.stdout.write(f"{what}: {trainer.step} steps, weights in {arguments.out}\n")
    return 0


def _trainer(arguments: argparse.Namespace) -> _Run:
    # Only now: these bring torch, and a wrong option is to be refused at once.
    from accelerate import Accelerator  # type: ignore[import-untyped]  # ships no types

    from model_runtime.dataset.finished import FinishedDataset
    from model_runtime.training.assembly import Sources, assemble
    from model_runtime.training.mixing import Mixing, TaskMix
    from model_runtime.training.trainer import Settings
    from model_runtime.training.world.world import World

    size = (arguments.side, arguments.side, arguments.frames)
    if arguments.data is not None:
        order = FinishedDataset(arguments.data).order
        size = (order["width"], order["height"], order["frames"])
    width, height, frames = size
    weights = arguments.weights or Path(resolve(environ=os.environ).settings.weights)
    start, end = arguments.mix
    return assemble(
        Sources(
            weights=weights,
            model=arguments.model,
            start_from=arguments.start_from,
            world=World(width=width, height=height, frames=frames),
            clips=arguments.clips,
            data=arguments.data,
        ),
        Settings(
            stage=arguments.stage,
            steps=arguments.steps,
            seed=arguments.seed,
            learning_rate=arguments.learning_rate,
            warmup=arguments.warmup,
            save_every=arguments.save_every,
            sample_every=arguments.sample_every,
        ),
        arguments.out,
        batch=arguments.batch,
        train_text=arguments.train_text,
        focus_weight=arguments.focus_weight,
        is_full=arguments.full,
        mixing=Mixing(tasks=TaskMix(start=start, end=end)),
        accelerator=Accelerator(cpu=arguments.cpu, mixed_precision=arguments.precision),
    )


@contextmanager
def _stopping(trainer: _Run) -> Iterator[None]:
    """Inside the block, Ctrl-C and SIGTERM end the run after its current step, with a checkpoint."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        trainer.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
