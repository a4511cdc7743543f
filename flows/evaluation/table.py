"""Figures as Markdown: one row per metric, one column per run."""

from __future__ import annotations

from collections.abc import Sequence

from flows.evaluation.figures import Figure, Result
from schemas.evaluation import Subject, Suite

_ORDER = ("text", "identity", "sync", "quality", "outside")
_FIRST = ("text/all", "text/static", "identity/of 20", "identity/all", "sync/opening")


def metric_names(results: Sequence[Result]) -> list[str]:
    """All metrics of all runs: by kind, sums before parts."""
    names = list(dict.fromkeys(name for result in results for name in result.figures))
    return sorted(names, key=lambda name: (_ORDER.index(name.split("/")[0]), name not in _FIRST))


def cell(figure: Figure | None) -> str:
    """`0.912 [0.880, 0.941]`."""
    return "" if figure is None else f"{figure.mean:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def figures_table(results: Sequence[Result]) -> str:
    """Markdown; intervals are 95 %."""
    head = ["metric", "chance", *(result.asked.title for result in results)]
    rows = []
    for name in metric_names(results):
        chance = next((r.figures[name].chance for r in results if name in r.figures), None)
        rows.append([name, "" if chance is None else f"{chance:.3f}", *(cell(r.figures.get(name)) for r in results)])
    tracks = dict.fromkeys(track for result in results for track in result.lags)
    lags = [[f"sync/lag of {track}, frames", "", *(_lag(r.lags.get(track)) for r in results)] for track in tracks]
    return markdown(head, rows + lags)


def _lag(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.mean:+.0f} [{figure.low:+.0f}, {figure.high:+.0f}]"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells keep their bars."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(text.replace('|', '/') for text in line)} |" for line in lines)


def report(results: Sequence[Result], plots: Sequence[str] = ()) -> str:
    """The whole page."""
    base = results[0]
    parts = [
        f"# Evaluation: {base.asked.title}",
        describe(base.asked.suite),
        *([f"Weights `{base.weights}`."] if base.asked.subject is not Subject.TRUE_FRAMES else []),
        "Shares of right answers, correlations, dB; in brackets the 95 % interval of a bootstrap over clips.",
        figures_table(results),
        _not_judged(base),
        "\n".join(f"Not measured: {name} ({needs})." for name, needs in base.missing.items()),
        "## The reader on true frames",
        gate_table(base),
        *(f"![{name}]({name})" for name in plots),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def describe(suite: Suite) -> str:
    """The suite in a sentence."""
    last = suite.start + suite.count - 1
    people = {0.0: "one person each", 1.0: "two people each"}.get(suite.duos, f"{suite.duos:.0%} with two people")
    return (
        f"Clips {suite.start} to {last} of the `{suite.split}` split of world {suite.world_seed}: {suite.count} clips "
        f"of {suite.frames} frames of {suite.width}x{suite.height}, {people}."
    )


def gate_table(result: Result) -> str:
    """What the reader had to reach on true frames, and what it reached."""
    rows = [
        [str(people), name, f"{gauge.needed:.2f}", f"{gauge.reached:.4f}", str(gauge.clips), _yes(gauge.is_passed)]
        for people, gauges in result.gate.gauges.items()
        for name, gauge in gauges.items()
    ]
    return markdown(["people", "read", "needed", "reached", "of", "judged"], rows)


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "**no**"


def _not_judged(result: Result) -> str:
    failed = {people: names for people, names in result.gate.not_judged.items() if names}
    return "\n".join(
        f"Not judged with {people} {'person' if people == 1 else 'people'}, because the reader failed its gate there: "
        f"{', '.join(names)}."
        for people, names in failed.items()
    )
