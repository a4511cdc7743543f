"""A range of a suite's clips to scores: kept by content, so that the same range costs nothing the second time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from model_runtime.engines.humo import weights_folder
from model_runtime.evaluation import sync
from model_runtime.evaluation.frames import open_source
from model_runtime.evaluation.metrics import chances
from model_runtime.evaluation.outside import Scorer, scorers
from model_runtime.evaluation.store import Store
from model_runtime.evaluation.suite import recipes, world_of
from schemas.digest import digest, sha256_hex
from schemas.errors import InvalidInput, NotFound
from schemas.evaluation import VERSION, Asked, ClipScores, Gate, ShardScores, Suite

Progress = Callable[[int, int], None]


def gate_of(suite: Suite, weights: Path, store: Store, *, clips: int, told: Progress) -> Gate:
    """The gate for clips of this size and length; measured once.

    Raises:
        InvalidInput: there is no reader.
    """
    reader = _digest(weights)
    people = [1] if suite.duos == 0 else [2] if suite.duos == 1 else [1, 2]
    found: dict[int, dict[str, object]] = {}
    for amount in people:
        # Of the world, only what changes the pictures' form counts: a gate holds for any seed.
        world = world_of(suite.model_copy(update={"world_seed": 0, "duos": float(amount - 1)}))
        key = digest([VERSION, reader, world.digest, clips])
        known = store.record("gates", key)
        if known is None:
            from model_runtime.evaluation.gate import gauges
            from model_runtime.evaluation.reader import load

            measured = gauges(load(weights), world, clips=clips, told=told)
            known = {name: gauge.as_json() for name, gauge in measured.items()}
            store.put_record("gates", key, known)
        found[amount] = known
    return Gate.from_json({"reader": reader, "gauges": found})


def _digest(weights: Path) -> str:
    try:
        return sha256_hex(weights.read_bytes())
    except OSError as error:
        fix = "train one: python -m model_runtime.evaluation train-reader --out PATH"
        raise InvalidInput(f"there is no reader at {weights}", fix=fix) from error


def judge(
    asked: Asked, store: Store, gate: Gate, weights: Path, *, start: int, amount: int, told: Progress
) -> ShardScores:
    """Scores of `amount` clips from `start` on; their frames lie in the store.

    Raises:
        NotFound: frames are missing.
    """
    with TemporaryDirectory(prefix="evaluation-") as folder:
        source = open_source(asked, Path(folder))
        keys = {recipe.index: source.key(recipe) for recipe in recipes(asked.suite, start=start, amount=amount)}
        source.close()
    found: list[ClipScores] = []
    known = scorers(weights_folder())
    bench = _Bench(asked, store, gate, weights, tuple(scorer for scorer in known if not scorer.missing))
    for done, (index, frames_key) in enumerate(keys.items(), start=1):
        found.append(bench.scores(index, frames_key))
        told(done, len(keys))
    return ShardScores(
        asked=asked,
        weights=source.weights,
        gate=gate,
        lags=sync.LAGS,
        chances=chances(),
        missing={scorer.name: scorer.missing for scorer in known if scorer.missing},
        clips=tuple(found),
    )


class _Bench:
    """Holds the reader once it is needed."""

    def __init__(self, asked: Asked, store: Store, gate: Gate, weights: Path, outside: tuple[Scorer, ...]) -> None:
        self._asked, self._store, self._gate, self._weights = asked, store, gate, weights
        self._outside = outside
        self._world = world_of(asked.suite)
        self._judge: object = None

    def scores(self, index: int, frames_key: str) -> ClipScores:
        suite = self._asked.suite
        outside = sorted(scorer.name for scorer in self._outside)
        key = digest([VERSION, self._gate.as_json(), outside, self._world.digest, suite.split, index, frames_key])
        known = self._store.record("scores", key)
        if known is None:
            scores = self._read(index, frames_key)
            self._store.put_record("scores", key, scores.as_json())
            return scores
        return ClipScores.from_json(known)

    def _read(self, index: int, frames_key: str) -> ClipScores:
        from model_runtime.evaluation.reader import load
        from model_runtime.evaluation.scoring import Judge
        from model_runtime.evaluation.suite import split_of

        frames = self._store.frames(frames_key)
        if frames is None:
            raise NotFound(f"clip {index} has no frames in {self._store.root}", fix="render first, then read")
        if not isinstance(self._judge, Judge):
            self._judge = Judge(self._world, load(self._weights), self._gate, self._outside)
        return self._judge.scores(frames, self._world.clip(index, split_of(self._asked.suite)), frames_key=frames_key)
