"""Verbs of the model engineer: evaluate, compare."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli import options as o
from flows.cli.console import bar, emit_json, say
from flows.cli.verb import add
from schemas.errors import InvalidInput
from schemas.evaluation import Asked, Condition, Scales, Subject, Suite
from schemas.guidance import Chain
from schemas.mode import Mode
from schemas.model_spec import find_model

Text = Annotated[float | None, typer.Option("--text", help="Guidance scale of the text; the model's own by default.")]
Audio = Annotated[float | None, typer.Option("--audio", help="Guidance scale of the speech.")]
Image = Annotated[float | None, typer.Option("--image", help="Guidance scale of the references.")]


def register(app: typer.Typer) -> None:
    add(app, evaluate)
    add(app, compare)


def evaluate(
    model: o.Model = None,
    engine: o.Engine = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Folder with the models' weights.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report; out/evaluation by default.")] = None,
    clips: Annotated[int, typer.Option("--clips", min=1, help="Clips of the suite.")] = 200,
    start: Annotated[int, typer.Option("--start", min=0, help="First clip.")] = 0,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    size: Annotated[str, typer.Option("--size", help="Of the world's pictures, WxH.")] = "64x64",
    frames: Annotated[int, typer.Option("--frames", min=1, help="Of each clip.")] = 17,
    duos: Annotated[float, typer.Option("--duos", min=0, max=1, help="Share of clips with two people.")] = 0.0,
    mode: Annotated[Mode, typer.Option("--mode", help="Which inputs are given.")] = Mode.TIA,
    also: Annotated[list[Mode] | None, typer.Option("--also", help="Another mode to evaluate besides.")] = None,
    condition: Annotated[Condition, typer.Option("--condition", help="What is taken away.")] = Condition.FULL,
    controls: Annotated[bool, typer.Option("--controls", help="Also with each condition taken away.")] = False,
    sweep: Annotated[list[str] | None, typer.Option("--sweep", help="Scales to try: audio=1,2,4; repeatable.")] = None,
    reference_frames: Annotated[
        bool, typer.Option("--reference-frames", help="Judge the world's own frames: the upper bound.")
    ] = False,
    round_trip: Annotated[
        bool, typer.Option("--round-trip", help="Judge the world's own frames through the model's autoencoder.")
    ] = False,
    text: Text = None,
    audio: Audio = None,
    image: Image = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Denoising steps.")] = None,
    shift: Annotated[float | None, typer.Option("--shift", help="Of the sampler's schedule.")] = None,
    chain: Annotated[
        Chain | None, typer.Option("--chain", help="Guide by this chain; the model's own by default.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the noise.")] = 0,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Processes at the same time.")] = 1,
    shard: Annotated[int, typer.Option("--shard", min=1, help="Clips of one process.")] = 50,
    gate_clips: Annotated[
        int | None, typer.Option("--gate-clips", min=1, help="True clips that the reader must read first.")
    ] = None,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Judge a model on clips of the procedural world: text, identity, sync, picture; again costs nothing."""
    asked = Asked(
        **_judged(model, engine, reference_frames=reference_frames, round_trip=round_trip),
        mode=mode,
        condition=condition,
        scales=Scales(text=text, audio=audio, image=image, steps=steps, shift=shift, chain=chain),
        seed=seed,
        suite=Suite(split=split, start=start, count=clips, frames=frames, duos=duos, **_sides(size)),
    )
    settings = o.settings_from(home, weights=weights)
    swept = dict(_sweep(words) for words in sweep or ())
    out = out or Path("out/evaluation")
    # A supervisor's SIGTERM deserves the same orderly end as Ctrl-C.
    signal.signal(signal.SIGTERM, _as_interrupt)
    from flows.under_prefect import require_prefect

    require_prefect(settings)
    from flows.evaluate import LOOKING_ON
    from flows.evaluate import evaluate as evaluation

    with bar(quiet=as_json) as shown:
        token = LOOKING_ON.set((shown,))
        try:
            files = evaluation(
                asked.as_json(),
                str(out),
                model=asked.title,
                modes=list(also or ()),
                controls=controls,
                sweep=swept,
                processes=processes,
                shard=shard,
                gate_clips=gate_clips,
            )
        finally:
            LOOKING_ON.reset(token)
    if as_json:
        emit_json(files)
    else:
        for what, path in files.items():
            say(f"{what:32} {path}")
    return 0


def compare(
    results: Annotated[list[Path], typer.Argument(help="Files of results/; the first is what the others differ from.")],
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Only this metric; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the table to this Markdown file too.")] = None,
) -> int:
    """Put results of evaluations side by side: figures, differences, intervals."""
    from flows.evaluation.comparison import comparison_table, read_results

    shown = comparison_table(read_results(results), metric or ())
    say(shown)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(f"{shown}\n", encoding="utf-8")
    return 0


def _judged(model: str | None, engine: str | None, *, reference_frames: bool, round_trip: bool) -> dict[str, Any]:
    """Subject, engine and model."""
    if reference_frames and round_trip:
        raise InvalidInput("--reference-frames and --round-trip are two evaluations", fix="give one of them")
    if reference_frames:
        return {"subject": Subject.TRUE_FRAMES}
    if model is None:
        raise InvalidInput("no model is named", fix="give --model, or --reference-frames for the upper bound")
    spec = find_model(model)
    if round_trip:
        return {"subject": Subject.ROUND_TRIP, "model": spec.name}
    return {"engine": engine or spec.engine, "model": spec.name}


def _sides(size: str) -> dict[str, int]:
    width, cross, height = size.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise InvalidInput(f"--size is {size!r}, expected WxH, as 64x64")
    return {"width": int(width), "height": int(height)}


def _sweep(words: str) -> tuple[str, list[float]]:
    """`audio=1,2.5,4`."""
    name, _, values = words.partition("=")
    try:
        found = [float(value) for value in values.split(",")]
    except ValueError as error:
        raise InvalidInput(f"--sweep is {words!r}, expected a scale and its values", fix="write audio=1,2,4") from error
    return name.strip(), found


def _as_interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt
