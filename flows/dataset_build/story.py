"""A build in words and rows, the same on the terminal, in Prefect and in the page of a finished dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flows.dataset_build.progress import ENDED, Progress, ShardState, StepProgress
from schemas.dataset import Step

TITLES = {
    Step.CLIPS: "clips with captions",
    Step.FACES: "who is seen",
    Step.REFERENCES: "cross-pair references",
    Step.SPEECH: "speech in sync",
}
COLUMNS = ("stage", "step", "came", "kept", "dropped", "why")


def rows(manifests: Iterable[Mapping[str, Any]]) -> list[tuple[int, str, int, int, int, str]]:
    """One row per step. What became many (a video its clips) has no column: it stands with the reasons."""
    return [_row(one) for one in manifests]


def _row(manifest: Mapping[str, Any]) -> tuple[int, str, int, int, int, str]:
    why = [f"{count} {reason}" for reason, count in manifest["dropped"].items()]
    why += [f"({counted(what, count)})" for what, count in manifest["looked"].items()]
    return (
        int(manifest["stage"]),
        TITLES[Step(manifest["step"])],
        int(manifest["came"]),
        int(manifest["samples"]),
        sum(manifest["dropped"].values()),
        ", ".join(why),
    )


def counted(what: str, count: int) -> str:
    """`14 faces`, and `pool: 14 pictures` of `pool: pictures`."""
    kind, colon, rest = what.rpartition(": ")
    return f"{kind}{colon}{count} {rest}"


def finished(progress: Progress) -> list[Mapping[str, Any]]:
    """Manifests of the steps that are done, in their order."""
    with progress.lock:
        return [one.manifest for one in progress.steps.values() if one.manifest is not None]


def table(progress: Progress) -> list[dict[str, object]]:
    """For Prefect's table: finished steps with their counts, others with how far they are."""
    found: list[dict[str, object]] = []
    with progress.lock:
        steps = list(progress.steps.values())
    for one in steps:
        if one.manifest is not None:
            found.append(dict(zip(COLUMNS, _row(one.manifest), strict=True)))
        else:
            why = f"{one.ended} of {len(one.shards)} shards" + (f"; {one.message}" if one.message else "")
            empty = (one.step.stage, TITLES[one.step], "", "", "", why)
            found.append(dict(zip(COLUMNS, empty, strict=True)))
    return found


def percent(progress: Progress) -> float:
    """Of all steps; each counts the same, for nobody knows how many shards the later ones will have."""
    with progress.lock:
        shares = [1.0 if one.manifest is not None else _share(one) for one in progress.steps.values()]
    return round(100 * sum(shares) / len(Step), 1)


def _share(one: StepProgress) -> float:
    if not one.shards:
        return 0.0
    partly = sum(done / of for done, of in one.at_work.values() if of)
    return min(0.99, (one.ended + partly) / len(one.shards))


def summary(name: str, out: str, manifests: Sequence[Mapping[str, Any]], failure: str = "") -> str:
    """A page in markdown."""
    lines = [f"# Dataset {name}", "", f"`{out}`", ""]
    lines += [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows(manifests)]
    if failure:
        lines += ["", f"**{failure}**"]
    elif manifests:
        last = manifests[-1]
        size = sum(int(one["bytes"]) for one in last["shards"])
        lines += ["", f"{last['samples']} samples in {len(last['shards'])} shards, {size / 2**20:.1f} MiB."]
    return "\n".join(lines) + "\n"


def slices(one: StepProgress, most: int) -> list[tuple[str, Sequence[ShardState]]]:
    """The step's shards in at most `most` runs of neighbours, each by name."""
    states = list(one.shards.values())
    per_slice = max(1, -(-len(states) // most))
    found: list[tuple[str, Sequence[ShardState]]] = []
    for first in range(0, len(states), per_slice):
        part = states[first : first + per_slice]
        last = first + len(part)
        numbers = f"shard {last}" if len(part) == 1 else f"shards {first + 1}-{last}"
        found.append((f"{one.step}: {numbers} of {len(states)}", part))
    return found


def has_ended(part: Sequence[ShardState]) -> bool:
    return all(state in ENDED for state in part)
