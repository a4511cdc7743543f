"""`python -m model_runtime.training small`: its options, and what they start."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from model_runtime.training.small.plan import MINUTES, ROWS, Plan
from model_runtime.training.variant import Variant

if TYPE_CHECKING:
    from model_runtime.training.small.pieces import Stopping

PURPOSE = "train humo-small from nothing, piece by piece; the same command goes on where it was stopped"
_INTERRUPTED = 130


def add_options(parser: argparse.ArgumentParser) -> None:
    """Everything that can be said of it."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the training, and of its state")
    parser.add_argument("--weights", type=Path, help="weights folder that gets the model; default: OUT/weights")
    parser.add_argument("--cache", type=Path, help="folder of clips and latents; default: OUT/cache")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="on two idle cores; decides the steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--clips", type=int, help="clips to learn from; default: by --minutes")
    parser.add_argument("--kinds", nargs="+", choices=list(ROWS), default=[], help="of clips; default: all")
    parser.add_argument(
        "--steps", type=int, nargs=5, help="of each piece", metavar=("AE", "BASE", "STAGE1", "STAGE2", "FINETUNE")
    )
    parser.add_argument("--vae", type=Path, metavar="FILE", help="take this autoencoder instead of training one")
    parser.add_argument(
        "--like", type=Path, metavar="DIR", help="train stage 2 alone, from the stage 1 of that training"
    )
    parser.add_argument("--variant", choices=list(Variant), type=Variant, default=Variant.PAPER, help="of stage 2")
    parser.add_argument("--processes", type=int, default=2, help="that draw and encode side by side")
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--sample-every", type=int, default=0, help="steps between sheets of samples; 0 draws none")
    parser.add_argument("--precision", choices=("no", "bf16"), default="bf16", help="of the stages' matrix products")
    parser.add_argument(
        "--repair", action="store_true", help="compare every shard with its digest; make bad ones again"
    )
    parser.add_argument("--package", action="store_true", help="train nothing: package what there is")


def run(arguments: argparse.Namespace, stopping: Stopping) -> int:
    """Train, or package what there is; the exit code.

    Raises:
        As `pieces.train` and `packaging.package`.
    """
    from dataclasses import replace

    from model_runtime.training.small import pieces
    from model_runtime.training.small.course import Course
    from model_runtime.training.small.packaging import package

    plan = Plan.within(arguments.minutes, seed=arguments.seed, batch=arguments.batch, clips=arguments.clips)
    plan = replace(plan, kinds=tuple(arguments.kinds))
    if arguments.steps:
        plan = replace(plan, steps=dict(zip(("autoencoder", *Course), arguments.steps, strict=True)))
    work = pieces.Work(
        plan=plan,
        out=arguments.out,
        weights=arguments.weights or arguments.out / "weights",
        cache=arguments.cache or (arguments.like or arguments.out) / "cache",
        vae=arguments.vae,
        like=arguments.like,
        variant=arguments.variant,
        processes=arguments.processes,
        save_every=arguments.save_every,
        sample_every=arguments.sample_every,
        repair=arguments.repair,
        precision=arguments.precision,
    )
    if arguments.package:
        package(work.beginning, work.out, work.weights, facts=pieces.facts(work), vae=work.vae)
    elif not pieces.train(work, stopping):
        sys.stderr.write("stopped; run the same command again to go on\n")
        return _INTERRUPTED
    if os.environ.get("RANK", "0") == "0":
        sys.stdout.write(f"{pieces.MODEL}: weights in {work.weights}\n")
    return 0
