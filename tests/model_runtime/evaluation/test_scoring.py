"""Scores of true frames are near perfect, of a stranger's near chance, and only what passed its gate is judged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from model_runtime.evaluation.gate import NEEDED
from model_runtime.evaluation.metrics import OF_TWENTY, chances
from model_runtime.evaluation.reader import load
from model_runtime.evaluation.scoring import Judge
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World
from schemas.evaluation import ClipScores, Gate, Gauge

WORLD = World(seed=4, duos=0.0)
CLIPS = 20


def judge(*, judged: Sequence[str] = tuple(NEEDED)) -> Judge:
    """With a gate that lets through what is named."""
    gauges = {name: Gauge(needed=0.5, reached=float(name in judged), clips=1) for name in NEEDED}
    return Judge(WORLD, load(), Gate(reader="0" * 64, gauges={1: gauges}))


@lru_cache(maxsize=1)
def true_and_false() -> tuple[list[ClipScores], list[ClipScores]]:
    """Every clip judged by its own frames, and by its neighbour's."""
    clips = [WORLD.clip(index, Split.TEST) for index in range(CLIPS)]
    bench = judge()
    own = [bench.scores(clip.frames, clip, frames_key="own") for clip in clips]
    shifted = zip(clips, np.roll(np.arange(CLIPS), 1), strict=True)
    others = [bench.scores(clips[other].frames, clip, frames_key="other") for clip, other in shifted]
    return own, others


def mean(scores: Sequence[ClipScores], metric: str) -> float:
    tallies = [score.tallies[metric] for score in scores if metric in score.tallies]
    return sum(tally.sum for tally in tallies) / sum(tally.count for tally in tallies)


def test_true_frames_are_near_perfect() -> None:
    """Attributes, person and mouth: the upper bound of what a model can be given."""
    own, _ = true_and_false()
    assert mean(own, "text/static") > 0.95
    assert mean(own, "identity/all") > 0.85
    assert mean(own, OF_TWENTY) > 0.95
    assert mean(own, "sync/opening") > 0.9
    assert mean(own, "sync/opening within a frame") > 0.9
    assert mean(own, "quality/SSIM") > 0.999


def test_another_clips_frames_are_near_chance() -> None:
    """What a model that heeds nothing would reach: about what guessing gives."""
    _, others = true_and_false()
    known = chances()
    for metric, room in (("text/static", 0.12), ("text/all", 0.12), ("identity/all", 0.15), (OF_TWENTY, 0.15)):
        assert abs(mean(others, metric) - known[metric]) < room, metric
    assert abs(mean(others, "sync/opening")) < 0.2


def test_a_strangers_speech_does_not_fit_true_frames() -> None:
    """The same mouths against another clip's speech."""
    own, _ = true_and_false()
    assert abs(mean(own, "sync/opening, shuffled")) < 0.2


def test_only_what_passed_its_gate_is_judged() -> None:
    """What failed is in no score, not even in a sum."""
    clip = WORLD.clip(0, Split.TEST)
    scores = judge(judged=("hat", "skin", "opening")).scores(clip.frames, clip, frames_key="own")
    families = {name for name in scores.tallies if not name.startswith(("quality/", "sync/"))}
    assert families == {"text/hat", "text/static", "text/all", "identity/skin", "identity/all"}
    assert all(scores.tallies[name].count == 1 for name in families)
    assert not any("width" in name for name in scores.tallies)
