"""Several results side by side: an ablation's table, with intervals of the differences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from flows.evaluation.figures import Figure, Result, Sample, interval, resamples
from flows.evaluation.table import cell, markdown, metric_names
from schemas.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Named:
    """A result and what it is called in the table."""

    name: str
    result: Result


def read_results(paths: Sequence[Path]) -> list[Named]:
    """Files `OUT/results/NAME.json`, each called by its name, or by OUT's where names come twice.

    Raises:
        InvalidInput: one is no result.
    """
    stems = [path.stem for path in paths]
    names = stems if len(set(stems)) == len(stems) else [path.absolute().parent.parent.name for path in paths]
    return [Named(name=name, result=read_result(path)) for name, path in zip(names, paths, strict=True)]


def read_result(path: Path) -> Result:
    """One file of `results/`.

    Raises:
        InvalidInput: it is no result.
    """
    try:
        return Result.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise InvalidInput(f"{path} is no result of an evaluation: {error}", fix="name files of `results/`") from error


def difference(other: Result, base: Result, metric: str) -> Figure | None:
    """Other minus base over the clips that both have, drawn together: each clip is its own control.

    None where either has nothing to judge.
    """
    mine = {clip.index: clip for clip in other.clips}
    theirs = {clip.index: clip for clip in base.clips}
    shared = sorted(mine.keys() & theirs.keys())
    if not shared:
        return None
    first, second = (Sample.of([clips[index] for index in shared], metric) for clips in (mine, theirs))
    if not (first.counts.any() and second.counts.any()):
        return None
    drawn = resamples(len(shared))
    both = (first.counts[drawn].sum(1) > 0) & (second.counts[drawn].sum(1) > 0)
    low, high = interval(first.means(drawn[both]) - second.means(drawn[both]))
    return Figure(mean=first.mean - second.mean, low=low, high=high, count=len(shared))


def comparison_table(named: Sequence[Named], metrics: Sequence[str] = ()) -> str:
    """Markdown: every result's figure and, for all but the first, its difference from the first.

    Raises:
        InvalidInput: fewer than two results, or they are of different suites or readers.
    """
    if len(named) < 2:
        raise InvalidInput("a comparison needs at least two results")
    base = named[0]
    for other in named[1:]:
        if other.result.asked.suite != base.result.asked.suite:
            raise InvalidInput(
                f"{other.name} is of another suite than {base.name}", fix="evaluate both on the same clips"
            )
        if other.result.gate.reader != base.result.gate.reader:
            raise InvalidInput(f"{other.name} was read by another reader than {base.name}", fix="evaluate both anew")
    head = ["metric", base.name]
    for other in named[1:]:
        head += [other.name, f"{other.name} - {base.name}"]
    rows = []
    for metric in metrics or metric_names([one.result for one in named]):
        row = [metric, cell(base.result.figures.get(metric))]
        for other in named[1:]:
            changed = difference(other.result, base.result, metric)
            row += [cell(other.result.figures.get(metric)), _signed(changed)]
        rows.append(row)
    return markdown(head, rows)


def _signed(figure: Figure | None) -> str:
    """With a star where the interval leaves out 0."""
    if figure is None:
        return ""
    star = " *" if figure.low > 0 or figure.high < 0 else ""
    return f"{figure.mean:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]{star}"
