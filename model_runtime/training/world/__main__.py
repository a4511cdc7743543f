"""`python -m model_runtime.training.world`: look at the world, listen to it, count it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from model_runtime.training.world.figures import report
from model_runtime.training.world.identity import Split
from model_runtime.training.world.sheet import contact_sheet, vocabulary_sheet
from model_runtime.training.world.world import World
from schemas.errors import CallsheetError, InvalidInput


def main(argv: Sequence[str] | None = None) -> int:
    """Write what was asked for; errors go to standard error and end with what to do next."""
    arguments = _parser().parse_args(argv)
    try:
        _write(arguments)
    except CallsheetError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_runtime.training.world", description=__doc__)
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="draw a contact sheet of --clips clips")
    parser.add_argument("--vocabulary", type=Path, metavar="PNG", help="draw every value of every list once")
    parser.add_argument("--clip", type=int, metavar="N", help="write clip N with its sound to --out, its caption here")
    parser.add_argument("--figures", action="store_true", help="count and measure")
    parser.add_argument("--out", type=Path, metavar="MP4", help="where --clip goes")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--start", type=int, default=0, help="first clip of a sheet")
    parser.add_argument("--split", type=Split, default=Split.TRAIN, choices=list(Split))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", default="64x64", metavar="WxH")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--duos", type=float, default=World.duos, help="share of clips with two people")
    return parser


def _write(arguments: argparse.Namespace) -> None:
    world = _world(arguments)
    if arguments.sheet:
        if arguments.clips < 1 or arguments.columns < 1:
            raise InvalidInput("a sheet has at least one clip and one column")
        clips = [world.clip(arguments.start + k, arguments.split) for k in range(arguments.clips)]
        _save(contact_sheet(clips, columns=arguments.columns), arguments.sheet)
    if arguments.vocabulary:
        _save(vocabulary_sheet(world), arguments.vocabulary)
    if arguments.clip is not None:
        if arguments.out is None:
            raise InvalidInput("--clip needs --out", fix="say where the mp4 goes: --out clip.mp4")
        clip = world.clip(arguments.clip, arguments.split)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        clip.write(arguments.out)
        sys.stdout.write(f"{clip.caption}\n")
    if arguments.figures:
        sys.stdout.write(f"{report(world)}\n")


def _world(arguments: argparse.Namespace) -> World:
    width, cross, height = arguments.size.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise InvalidInput(f"--size is {arguments.size!r}, expected WxH, as 64x64")
    return World(
        seed=arguments.seed, width=int(width), height=int(height), frames=arguments.frames, duos=arguments.duos
    )


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=60, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
