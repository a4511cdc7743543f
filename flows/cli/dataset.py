"""Verbs around training sets: dataset build, dataset show."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli import options as o
from flows.cli.console import Bar, bar, emit_json, note, say, table
from flows.cli.verb import add
from flows.dataset_build import story
from flows.dataset_build.build import Build, verify
from flows.dataset_build.progress import Onlooker, Progress, ShardState
from schemas.dataset import DatasetOrder, read_order
from schemas.errors import CallsheetError, InvalidInput, Retryable
from schemas.settings import Settings

WORLD = "world"
_FILMS = {"captioner": "sidecar", "detector": "scrfd", "embedder": "arcface", "scorer": "syncnet", "enhancer": "none"}
_EXACT = dict.fromkeys(_FILMS, "world")


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        name="dataset",
        help="Make training sets out of videos, and look at them.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    add(group, build)
    add(group, show)
    app.add_typer(group)


Source = Annotated[
    str, typer.Argument(help="Folder of videos, or `world` for the procedural world.", show_default=False)
]
Folder = Annotated[Path, typer.Argument(help="Folder of a dataset.", show_default=False)]


def build(
    source: Source,
    out: Annotated[Path, typer.Option("--out", help="Folder of the dataset; the same one goes on.")],
    name: Annotated[str, typer.Option("--name", help="Name of the dataset; the folder's by default.")] = "",
    frames: Annotated[int | None, typer.Option("--frames", help="Frames of each clip, 4n+1. [97; world: 49]")] = None,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT. [832x480; world: 64x64]")] = "",
    per_shard: Annotated[
        int, typer.Option("--per-shard", min=1, help="World clips or videos that share a shard.")
    ] = 64,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=64, help="Processes that make shards.")] = 1,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="Folder of pictures to find references in, besides the videos.")
    ] = None,
    clips: Annotated[int, typer.Option("--clips", min=1, help="Clips of the world.")] = 64,
    variants: Annotated[int, typer.Option("--variants", min=1, help="Pictures of each person of the world.")] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the world.")] = 0,
    split: Annotated[str, typer.Option("--split", help="Split of the world: train, val or test.")] = "train",
    spoil: Annotated[
        list[str] | None, typer.Option("--spoil", help="WHAT=SHARE of the world to spoil: offset=0.2; repeatable.")
    ] = None,
    captioner: Annotated[str, typer.Option("--captioner", help="sidecar, qwen2.5-vl, world")] = "",
    detector: Annotated[str, typer.Option("--detector", help="scrfd, world")] = "",
    embedder: Annotated[str, typer.Option("--embedder", help="arcface, world")] = "",
    scorer: Annotated[str, typer.Option("--scorer", help="syncnet, world")] = "",
    enhancer: Annotated[str, typer.Option("--enhancer", help="none, kim-vocal-2, world")] = "",
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="NAME=VALUE of what is kept: max_offset=2; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Of the adapters that need one: cpu, cuda.")] = "cpu",
    quick: Annotated[bool, typer.Option("--quick", help="Believe finished shards by their size.")] = False,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Make clips, find references, keep what is in sync; run it again to go on, or to take in what is new."""
    settings = o.settings_from(home)
    is_world = source == WORLD
    given: dict[str, Any] = {
        "name": name or re.sub(r"[^a-z0-9._-]+", "-", out.resolve().name.lower()).strip("-._"),
        "frames": frames or (49 if is_world else 97),
        **dict(zip(("width", "height"), _size(size or ("64x64" if is_world else "832x480")), strict=True)),
        "per_shard": per_shard,
        "weights": str(Path(settings.weights).resolve() / "dataset"),
        "device": device,
        "rules": _pairs("--rule", rule),
        "source": _world(clips, seed, split, variants, _pairs("--spoil", spoil))
        if is_world
        else {
            "kind": "folder",
            "videos": str(Path(source).resolve()),
            "pictures": str(pictures.resolve()) if pictures else "",
        },
    }
    asked = dict(zip(_FILMS, (captioner, detector, embedder, scorer, enhancer), strict=True))
    given["adapters"] = (_EXACT if is_world else _FILMS) | {seam: named for seam, named in asked.items() if named}
    order = read_order(given)
    signal.signal(signal.SIGTERM, _as_interrupt)
    with bar(quiet=as_json) as shown:
        view = TerminalView(shown)
        _build_here(order, out.resolve(), settings, jobs=jobs, whole=not quick, view=view)
    manifests = story.finished(view.progress)
    if as_json:
        emit_json({"dataset": order.name, "out": str(out.resolve()), "made": view.made, "steps": manifests})
        return 0
    _show(manifests)
    say(f"{view.made} shards made, {view.found} were there: {out}")
    return 0


def show(
    folder: Folder,
    check: Annotated[bool, typer.Option("--verify", help="Read every shard and compare its digest.")] = False,
    as_json: o.Json = False,
) -> int:
    """What a dataset holds, and what each stage kept and dropped; with --verify, whether it is whole."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        steps, shards = manifest["steps"], manifest["shards"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{folder} holds no finished dataset ({error})", fix="build it: callsheet dataset build"
        ) from error
    found: Mapping[str, Any] = {"damaged": []}
    if check:
        with bar(quiet=as_json) as shown:
            found = verify(folder.resolve(), lambda done, of: shown("reading shards", done, of))
    if as_json:
        emit_json(manifest | ({"verified": found} if check else {}))
    else:
        _show(steps)
        size = sum(one["bytes"] for one in shards)
        say(f"{manifest['samples']} samples in {len(shards)} shards, {size / 2**20:.1f} MiB")
        for line in found["damaged"]:
            note(f"damaged: {line}")
        if found["damaged"]:
            note("  fix: build the dataset again: only what is damaged is made again")
        elif check:
            say("every shard is what was written")
    return 1 if found["damaged"] else 0


class TerminalView:
    """A bar for each step, and one for each shard that is being made."""

    def __init__(self, shown: Bar) -> None:
        self._shown = shown
        self.progress = Progress()

    @property
    def made(self) -> int:
        return sum(step.made for step in self.progress.steps.values())

    @property
    def found(self) -> int:
        return sum(list(s.shards.values()).count(ShardState.HERE) for s in self.progress.steps.values())

    def look(self, progress: Progress) -> None:
        self.progress = progress
        with progress.lock:
            steps = [(one.step, one.ended, len(one.shards), dict(one.at_work)) for one in progress.steps.values()]
            checks = [(one.step, *one.checked) for one in progress.steps.values() if not one.shards]
        for step, done, of in checks:
            self._shown(f"reading {story.TITLES[step]}", done, of)
        for step, ended, total, _ in steps:
            self._shown(story.TITLES[step], ended, total)
        working = steps[-1] if steps else None
        if working:
            self._shown.slots({name: (f"{working[0]} {name[:8]}", *at) for name, at in working[3].items()})


def _build_here(order: DatasetOrder, out: Path, settings: Settings, *, jobs: int, whole: bool, view: Onlooker) -> None:
    """Run the Prefect flow in this process; where no Prefect can be reached the dataset is made all the same."""
    from flows.under_prefect import require_prefect

    try:
        require_prefect(settings)
    except Retryable as error:
        note(f"{error.message}; the build goes on without it")
        Build(order=order, out=out, jobs=jobs, whole=whole, onlookers=(view,)).run()
        return
    from flows.dataset import FAILURE, LOOKING_ON, build_dataset

    failures: list[CallsheetError] = []
    looking, keeping = LOOKING_ON.set((view,)), FAILURE.set(failures)
    try:
        build_dataset(order.model_dump(mode="json"), str(out), jobs=jobs, whole=whole, return_state=True)
    finally:
        LOOKING_ON.reset(looking)
        FAILURE.reset(keeping)
    if failures:
        raise failures[0]


def _show(manifests: Any) -> None:
    table(list(story.COLUMNS), story.rows(manifests))


def _world(clips: int, seed: int, split: str, variants: int, spoils: dict[str, Any]) -> dict[str, Any]:
    return {"kind": WORLD, "clips": clips, "seed": seed, "split": split, "variants": variants, "spoils": spoils}


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise InvalidInput(f"--size is {text!r}, expected WIDTHxHEIGHT", fix="write it as 832x480")
    return int(width), int(height)


def _pairs(option: str, pairs: list[str] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{option} is {pair!r}, expected NAME=VALUE", fix=f"write it as {option} NAME=VALUE")
        found[name] = value.split("+") if name == "differ" else value
    return found


def _as_interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt
