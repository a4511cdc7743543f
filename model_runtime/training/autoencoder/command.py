"""`python -m model_runtime.training autoencoder`: its options, and what they start."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from model_runtime.training.autoencoder.trainer import AutoencoderTrainer

PURPOSE = "train a small video autoencoder on the procedural world"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Everything that can be said of a run."""
    parser.add_argument("--steps", type=int, required=True, help="steps of the whole run")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints, metrics and weights")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's latest checkpoint")
    parser.add_argument("--start-from", type=Path, metavar="FILE", help="published weights to begin with")
    parser.add_argument("--decoder-only", action="store_true", help="leave the latents as they are")
    parser.add_argument("--batch", type=int, default=16, help="windows per step")
    parser.add_argument("--window", type=int, nargs=2, default=(32, 9), metavar=("PIXELS", "FRAMES"))
    parser.add_argument("--whole-share", type=float, default=1 / 3, help="of the run, at its end: whole clips")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=30)
    parser.add_argument("--width", type=int, default=16, help="channels of the first level")
    parser.add_argument("--levels", type=int, nargs=3, default=(1, 2, 4), help="each level's width, in the first's")
    parser.add_argument("--precision", choices=("no", "bf16"), default="bf16", help="of convolutions")
    parser.add_argument("--save-every", type=int, default=500)
    parser.add_argument("--check-every", type=int, default=500, help="steps between looks at validation clips; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=3000, help="clips of the world")
    parser.add_argument("--check-clips", type=int, default=96, help="validation clips")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--side", type=int, default=64, help="pixels, both ways")
    parser.add_argument(
        "--footage", type=Path, help="folder of drawn clips, made where it is missing; default in --out"
    )


def trainer(arguments: argparse.Namespace) -> AutoencoderTrainer:
    """What the options ask for, at its first step; clips are drawn where they are not yet.

    Raises:
        InvalidInput: options that make no sense, or weights or footage that are not what they must be.
    """
    # Only now: these bring torch, and a wrong option is to be refused at once.
    from model_runtime.humo.config import VaeConfig
    from model_runtime.training.autoencoder.footage import footage
    from model_runtime.training.autoencoder.quality import Quality
    from model_runtime.training.autoencoder.trainer import AutoencoderTrainer, Settings
    from model_runtime.training.autoencoder.windows import Window
    from model_runtime.training.world.identity import Split
    from model_runtime.training.world.world import World

    settings = Settings(
        steps=arguments.steps,
        batch=arguments.batch,
        window=Window(side=arguments.window[0], frames=arguments.window[1]),
        whole_share=arguments.whole_share,
        seed=arguments.seed,
        learning_rate=arguments.learning_rate,
        warmup=arguments.warmup,
        decoder_only=arguments.decoder_only,
        half=arguments.precision == "bf16",
        save_every=arguments.save_every,
        check_every=arguments.check_every,
    )
    if arguments.width < 4 or arguments.width % 2 or min(arguments.levels) < 1:
        raise InvalidInput("--width is even and at least 4, --levels at least 1 each")
    config = VaeConfig(
        dim=arguments.width,
        dim_mult=tuple(arguments.levels),
        num_res_blocks=1,
        temporal_downsample=(True, True),
        patch_size=2,
        is_standardised=True,
    )
    world = World(width=arguments.side, height=arguments.side, frames=arguments.frames)
    place = arguments.footage or arguments.out / "footage"
    seen = footage(world, place / "train", clips=arguments.clips, on_clip=_progress("clips", arguments.clips))
    unseen = footage(
        world,
        place / "val",
        clips=arguments.check_clips,
        split=Split.VAL,
        on_clip=_progress("validation clips", arguments.check_clips),
    )
    return AutoencoderTrainer(
        config,
        seen,
        Quality(unseen, seen),
        settings,
        arguments.out,
        start_from=arguments.start_from,
        about={"world": world.digest, "clips": arguments.clips},
    )


def _progress(what: str, total: int) -> Callable[[int], None]:
    """A bar, opened with the first clip that is drawn."""
    from tqdm import tqdm  # type: ignore[import-untyped]  # ships no types

    bars: list[tqdm] = []

    def tell(done: int) -> None:
        if not bars:
            bars.append(tqdm(total=total, desc=f"drawing {what}", unit="clip", file=sys.stderr, dynamic_ncols=True))
        bars[0].update(done - bars[0].n)
        if done == total:
            bars[0].close()

    return tell
