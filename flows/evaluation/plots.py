"""Figures as PNG, by matplotlib from the extra `evaluation`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.evaluation.figures import Result
from flows.evaluation.plan import SWEPT
from flows.evaluation.table import metric_names
from schemas.errors import InvalidInput
from schemas.model_spec import find_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_MATCHING = {"text": "text/all", "audio": "sync/opening", "image": "identity/of 20"}
"""The metric that a guidance scale is for."""
_COLOURS = ("#2856a3", "#d4622a", "#2a8a57", "#8d4fa8", "#b33a4a", "#5d6b7a")


def draw_plots(results: Sequence[Result], folder: Path) -> list[Path]:
    """All plots that these runs give: metrics, correlation over lag, metrics over swept scales.

    Raises:
        InvalidInput: matplotlib is not installed.
    """
    try:
        from matplotlib import use
    except ImportError as error:
        raise InvalidInput("plots need matplotlib", fix="pip install -c constraints.txt -e '.[evaluation]'") from error
    use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    plain = [result for result in results if not swept_scale(result, results[0])] or list(results[:1])
    found = [_metrics(plain, folder / "metrics.png")]
    if any(result.lags for result in plain):
        found.append(_lags(plain, folder / "lags.png"))
    by_scale = {name: _with_scale(results, name) for name in SWEPT}
    if any(len(some) > 1 for some in by_scale.values()):
        found.append(_sweeps({name: some for name, some in by_scale.items() if len(some) > 1}, folder / "guidance.png"))
    return found


def swept_scale(result: Result, base: Result) -> str:
    """The one scale in which a run differs from the base; empty where it differs in none or in more."""
    mine, theirs = result.asked.scales.as_json(), base.asked.scales.as_json()
    changed = [name for name in mine if mine[name] != theirs[name]]
    is_same = result.asked.model_copy(update={"scales": base.asked.scales}) == base.asked
    return changed[0] if is_same and len(changed) == 1 else ""


def _with_scale(results: Sequence[Result], name: str) -> list[tuple[float, Result]]:
    """Runs that differ from the first in this scale alone, and the first: by the scale's value."""
    base = results[0]
    found = [(_scale(result, name), result) for result in results if swept_scale(result, base) == name]
    return sorted([*found, (_scale(base, name), base)], key=lambda pair: pair[0]) if found else []


def _scale(result: Result, name: str) -> float:
    """A guidance scale of a run: what was asked for, or the model's own."""
    asked = result.asked.scales.as_json()[name]
    own: float = getattr(find_model(result.asked.model), f"guidance_{name}")
    return own if asked is None else float(asked)


def _canvas(width: float, height: float, columns: int = 1) -> tuple[Drawing, list[Axes]]:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    axes = [drawing.add_subplot(1, columns, column + 1) for column in range(columns)]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.25)
    return drawing, axes


def _metrics(results: Sequence[Result], path: Path) -> Path:
    """Everything between 0 and 1 as points with intervals, chance as a grey mark."""
    names = [name for name in metric_names(results) if not name.startswith("quality/")][::-1]
    drawing, (axes,) = _canvas(8, 1.2 + 0.26 * len(names) * max(1.0, 0.5 * len(results)))
    for number, result in enumerate(results):
        rows = [(y, result.figures[name]) for y, name in enumerate(names) if name in result.figures]
        shift = (number - (len(results) - 1) / 2) * 0.7 / len(results)
        axes.errorbar(
            [figure.mean for _, figure in rows],
            [y - shift for y, _ in rows],
            xerr=[
                [max(0.0, figure.mean - figure.low) for _, figure in rows],
                [max(0.0, figure.high - figure.mean) for _, figure in rows],
            ],
            fmt="o",
            markersize=3.5,
            color=_COLOURS[number % len(_COLOURS)],
            label=result.asked.title,
        )
    chances = {name: result.figures[name].chance for result in results for name in names if name in result.figures}
    marks = [(chance, names.index(name)) for name, chance in chances.items() if chance is not None]
    axes.plot([x for x, _ in marks], [y for _, y in marks], "|", color="#777777", markersize=9, label="chance")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("share of right answers, or correlation; 95 % interval over clips")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)
    drawing.savefig(path, dpi=110)
    return path


def _lags(results: Sequence[Result], path: Path) -> Path:
    """Mean correlation over clips at each lag."""
    drawing, (axes,) = _canvas(6, 3.4)
    for number, result in enumerate(results):
        curves = [clip.lags["opening"] for clip in result.clips if "opening" in clip.lags]
        if curves:
            means = [sum(column) / len(curves) for column in zip(*curves, strict=True)]
            colour = _COLOURS[number % len(_COLOURS)]
            axes.plot(result.offsets, means, "o-", markersize=3.5, color=colour, label=result.asked.title)
    axes.set_xlabel("frames that the picture comes after the sound")
    axes.set_ylabel("correlation of mouth opening")
    axes.legend(fontsize=8)
    drawing.savefig(path, dpi=110)
    return path


def _sweeps(by_scale: dict[str, list[tuple[float, Result]]], path: Path) -> Path:
    """For each scale all three metrics over its values; its own one is drawn thick."""
    drawing, columns = _canvas(4.2 * len(by_scale), 3.6, len(by_scale))
    for axes, (name, pairs) in zip(columns, by_scale.items(), strict=True):
        for number, (other, metric) in enumerate(_MATCHING.items()):
            shown = [(value, result.figures[metric]) for value, result in pairs if metric in result.figures]
            axes.errorbar(
                [value for value, _ in shown],
                [figure.mean for _, figure in shown],
                yerr=[
                    [max(0.0, figure.mean - figure.low) for _, figure in shown],
                    [max(0.0, figure.high - figure.mean) for _, figure in shown],
                ],
                fmt="o-",
                markersize=3.5,
                linewidth=2.4 if other == name else 1.0,
                color=_COLOURS[number],
                label=metric,
            )
        axes.set_xlabel(f"scale of {name}")
        axes.set_ylim(0, 1.02)
    columns[0].legend(fontsize=8)
    drawing.savefig(path, dpi=110)
    return path
