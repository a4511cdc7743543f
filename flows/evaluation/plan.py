"""Which runs an evaluation is made of: the suite itself, controls without a condition, sweeps of a guidance scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.errors import InvalidInput
from schemas.evaluation import Asked, Condition, Scales, Subject
from schemas.mode import Mode

SWEPT = ("text", "audio", "image")

_CONTROLS = {
    Mode.TIA: (Condition.NO_TEXT, Condition.OTHER_REFERENCE, Condition.OTHER_SPEECH),
    Mode.TA: (Condition.NO_TEXT, Condition.OTHER_SPEECH),
    Mode.TI: (Condition.NO_TEXT, Condition.OTHER_REFERENCE),
}


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A range of a run's clips: what one process does."""

    asked: Asked
    start: int
    amount: int

    @property
    def name(self) -> str:
        last = self.start + self.amount - 1
        return f"{self.asked.title}: clips {self.start}-{last}"


def runs(
    base: Asked,
    *,
    modes: Sequence[Mode] = (),
    controls: bool = False,
    sweep: Mapping[str, Sequence[float]] | None = None,
) -> list[Asked]:
    """The base first, then its other modes, its controls, and each scale's values with all else as in the base.

    Raises:
        InvalidInput: what is not rendered by a model has no modes, controls or scales; or there is no such scale.
    """
    unknown = sorted(set(sweep or {}) - set(SWEPT))
    if unknown:
        raise InvalidInput(f"there is no scale {unknown[0]!r} to sweep", fix=f"choose one of {', '.join(SWEPT)}")
    if base.subject is not Subject.MODEL and (modes or controls or sweep):
        raise InvalidInput(
            f"{base.subject} are not rendered from conditions", fix="leave out modes, controls and sweeps"
        )
    return list(dict.fromkeys([base, *_others(base, modes, controls), *_swept(base, sweep or {})]))


def _others(base: Asked, modes: Sequence[Mode], controls: bool) -> Iterator[Asked]:
    for mode in modes:
        yield base.model_copy(update={"mode": mode})
    if controls:
        for condition in _CONTROLS[base.mode]:
            yield base.model_copy(update={"condition": condition})


def _swept(base: Asked, sweep: Mapping[str, Sequence[float]]) -> Iterator[Asked]:
    for name, values in sweep.items():
        for value in values:
            yield base.model_copy(update={"scales": Scales(**(base.scales.as_json() | {name: value}))})


def shards(asked: Asked, *, size: int) -> list[Shard]:
    """All clips of a run in ranges of at most `size`."""
    count = asked.suite.count
    return [Shard(asked=asked, start=start, amount=min(size, count - start)) for start in range(0, count, size)]
