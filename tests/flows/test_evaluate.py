"""The evaluation's orchestration: figures with intervals, comparisons, processes, and the verb itself."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from flows.cli.app import app
from flows.evaluation.comparison import Named, comparison_table, difference, read_result, read_results
from flows.evaluation.figures import Result, result_of
from flows.evaluation.plan import Shard, runs, shards
from flows.evaluation.process import Bench, store_folder
from flows.evaluation.table import figures_table, report
from schemas.errors import InvalidInput, Permanent
from schemas.evaluation import Asked, ClipScores, Condition, Gate, Gauge, ShardScores, Subject, Suite, Tally
from schemas.mode import Mode
from schemas.settings import resolve
from tests.support.cli import Cli
from tests.support.prefect_database import place_database

LAGS = tuple(range(-5, 6))
GATE_CLIPS = 8
MODEL = Asked(engine="humo", model="tiny-random", suite=Suite(count=100))


def shard_of(answers: list[float], *, start: int = 0, asked: Asked = MODEL, lag: int = 0) -> ShardScores:
    """Scores of clips whose `text/hat` is given; their mouths are `lag` frames late."""
    curve = tuple(1 - 0.1 * abs(offset - lag) for offset in LAGS)
    return ShardScores(
        asked=asked,
        weights="w",
        gate=Gate(reader="r", gauges={1: {"hat": Gauge(needed=0.97, reached=1.0, clips=9)}}),
        lags=LAGS,
        chances={"text/hat": 1 / 6},
        clips=tuple(
            ClipScores(
                index=start + number,
                people=1,
                frames_key="f",
                tallies={"text/hat": Tally(sum=answer, count=1)},
                lags={"opening": curve},
            )
            for number, answer in enumerate(answers)
        ),
    )


def test_an_interval_is_as_wide_as_theory_says() -> None:
    """Of 400 fair coins the bootstrap's interval is the normal one, 1.96 sqrt(p(1-p)/n) to either side."""
    coins = [float(x) for x in np.random.default_rng(1).integers(0, 2, 400)]
    figure = result_of([shard_of(coins)]).figures["text/hat"]
    wide = 1.96 * np.sqrt(figure.mean * (1 - figure.mean) / 400)
    assert figure.mean == pytest.approx(np.mean(coins))
    assert figure.low == pytest.approx(figure.mean - wide, abs=0.012)
    assert figure.high == pytest.approx(figure.mean + wide, abs=0.012)
    assert (figure.count, figure.chance) == (400, 1 / 6)


def test_shards_are_put_together_in_order() -> None:
    """Whatever order they came in, the result is that of one shard, intervals included."""
    rng = np.random.default_rng(2)
    answers = [float(x) for x in rng.integers(0, 2, 60)]
    whole = result_of([shard_of(answers)])
    parts = result_of([shard_of(answers[40:], start=40), shard_of(answers[:40])])
    assert parts == whole
    assert Result.from_json(json.loads(json.dumps(whole.as_json()))) == whole


def test_a_clip_with_more_to_judge_weighs_more() -> None:
    """Two people in a clip are two answers; a clip without the metric is none."""
    shard = shard_of([1.0, 0.0, 0.0])
    clips = list(shard.clips)
    clips[0] = clips[0].model_copy(update={"tallies": {"text/hat": Tally(sum=2, count=2)}})
    clips[2] = clips[2].model_copy(update={"tallies": {}})
    figure = result_of([shard.model_copy(update={"clips": tuple(clips)})]).figures["text/hat"]
    assert figure.mean == pytest.approx(2 / 3)
    assert figure.count == 3


def test_the_lag_of_a_suite_is_where_its_mean_correlation_is_highest() -> None:
    assert result_of([shard_of([1.0] * 9, lag=2)]).lags["opening"].mean == 2


def test_a_difference_is_taken_clip_by_clip() -> None:
    """Two runs that fail on the same hard clips differ surely by little: pairing sees what separate intervals hide."""
    rng = np.random.default_rng(3)
    base = rng.random(200)
    first, second = (result_of([shard_of([float(x) for x in base + more])]) for more in (0.0, 0.02))
    found = difference(second, first, "text/hat")
    assert found is not None
    assert found.low == pytest.approx(0.02)
    assert found.high == pytest.approx(0.02)
    assert first.figures["text/hat"].high > second.figures["text/hat"].low
    table = comparison_table([Named(name="full", result=first), Named(name="without", result=second)])
    assert "| text/hat |" in table
    assert "+0.020 [+0.020, +0.020] *" in table


def test_only_like_is_compared_with_like(tmp_path: Path) -> None:
    """Other clips, another reader or a file of something else are refused with what to do."""
    one = Named(name="one", result=result_of([shard_of([1.0, 0.0])]))
    other_suite = result_of([shard_of([1.0, 0.0], asked=MODEL.model_copy(update={"suite": Suite(count=7)}))])
    with pytest.raises(InvalidInput, match="another suite"):
        comparison_table([one, Named(name="two", result=other_suite)])
    other_reader = one.result.model_copy(update={"gate": Gate(reader="another", gauges={})})
    with pytest.raises(InvalidInput, match="another reader"):
        comparison_table([one, Named(name="two", result=other_reader)])
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InvalidInput, match="no result"):
        read_result(tmp_path / "x.json")


def test_what_is_not_judged_is_said() -> None:
    """A gauge that failed stands in the report by its name, and no figure of it."""
    shard = shard_of([1.0])
    gate = Gate(reader="r", gauges={1: {"eyes": Gauge(needed=0.97, reached=0.6, clips=9)}})
    page = report([result_of([shard.model_copy(update={"gate": gate, "missing": {"VBench": "needs it"}})])])
    assert "Not judged with 1 person, because the reader failed its gate there: eyes." in page
    assert "| 1 | eyes | 0.97 | 0.6000 | 9 | **no** |" in page
    assert "Not measured: VBench (needs it)." in page


def test_a_plan_is_the_base_its_controls_and_its_sweeps() -> None:
    """Each control takes away what the mode has; each swept value changes that scale alone; nothing comes twice."""
    found = runs(MODEL, modes=[Mode.TA, Mode.TIA], controls=True, sweep={"audio": [1, 4]})
    assert found[0] == MODEL
    assert [one.mode for one in found] == [Mode.TIA, Mode.TA, *[Mode.TIA] * 5]
    assert [one.condition for one in found[2:5]] == list(Condition)[1:]
    assert [one.scales.audio for one in found[5:]] == [1, 4]
    assert [one.title for one in found[4:6]] == ["tiny-random, TIA, other speech", "tiny-random, TIA, audio 1"]
    assert len({one.key for one in found}) == len(found)
    with pytest.raises(InvalidInput, match="no scale 'sound'"):
        runs(MODEL, sweep={"sound": [1]})
    with pytest.raises(InvalidInput, match="not rendered"):
        runs(Asked(subject=Subject.TRUE_FRAMES), controls=True)


def test_shards_cover_a_suite_once() -> None:
    cut = shards(MODEL, size=30)
    assert [(one.start, one.amount) for one in cut] == [(0, 30), (30, 30), (60, 30), (90, 10)]


def test_results_of_one_name_are_called_by_their_folders(tmp_path: Path) -> None:
    """An ablation's files are all named by the same model: the folder tells them apart."""
    text = json.dumps(result_of([shard_of([1.0])]).as_json())
    paths = [tmp_path / folder / "results" / "m.json" for folder in ("full", "without")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert [one.name for one in read_results(paths)] == ["full", "without"]
    assert [one.name for one in read_results(paths[:1])] == ["m"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes of this file keep what they made."""
    if not all(find_spec(name) for name in ("torchmetrics", "matplotlib", "diffusers")):
        pytest.skip("the extras `worker` and `evaluation` are not installed")
    return tmp_path_factory.mktemp("evaluation")


def test_an_engines_clips_are_rendered_and_read_by_processes_and_only_once(home: Path) -> None:
    """Test pictures score as test pictures; a second run makes no file anew; a refusal comes in the process's words."""
    settings = resolve(environ={}, flags={"home": str(home / "home"), "weights": str(home / "weights")}).settings
    bench = Bench(settings=settings, store=store_folder(settings), gate_clips=GATE_CLIPS)
    pattern = Asked(engine="pattern", model="tiny-random", suite=Suite(count=2))
    shard = Shard(asked=pattern, start=0, amount=2)
    told: list[tuple[str, int, int]] = []
    scores = bench.run(shard, lambda *said: told.append(said))
    assert told == [("render", 1, 2), ("render", 2, 2), ("read", 1, 2), ("read", 2, 2)]
    assert [clip.index for clip in scores.clips] == [0, 1]
    assert all(clip.tallies["quality/SSIM"].sum < 0.5 for clip in scores.clips)
    before = {path: path.stat().st_mtime_ns for path in bench.store.rglob("*") if path.is_file()}
    assert bench.run(shard, lambda *_: None) == scores
    assert {path: path.stat().st_mtime_ns for path in bench.store.rglob("*") if path.is_file()} == before
    absent = Shard(asked=Asked(engine="humo", model="humo-1.7B", suite=Suite(count=1)), start=0, amount=1)
    with pytest.raises(InvalidInput, match=r"humo-1\.7B"):
        bench.run(absent, lambda *_: None)


def test_a_shard_that_is_stopped_keeps_what_it_made(home: Path) -> None:
    """The process ends at once, the error says which one, and what was rendered stays."""
    settings = resolve(environ={}, flags={"home": str(home / "stopped")}).settings
    bench = Bench(settings=settings, store=store_folder(settings))
    shard = Shard(asked=Asked(subject=Subject.TRUE_FRAMES, suite=Suite(count=5000)), start=0, amount=5000)

    def stop_at_three(_phase: str, done: int, _total: int) -> None:
        if done == 3:
            bench.stop()

    with pytest.raises(Permanent, match="render"):
        bench.run(shard, stop_at_three)
    assert 3 <= len(list(bench.store.rglob("*.npz"))) < 5000


def test_a_sweep_is_drawn_over_its_scale(tmp_path: Path) -> None:
    """Each value is a point, the base stands at its own scale, and the picture is a PNG."""
    pytest.importorskip("matplotlib", reason="the extra `evaluation` is not installed")
    from flows.evaluation.plots import draw_plots, swept_scale

    found = runs(MODEL, controls=True, sweep={"audio": [1, 4]})
    results = [result_of([shard_of([1.0, 0.0, 1.0], asked=asked)]) for asked in found]
    assert [swept_scale(result, results[0]) for result in results] == [""] * 4 + ["audio"] * 2
    plots = draw_plots(results, tmp_path)
    assert [path.name for path in plots] == ["metrics.png", "lags.png", "guidance.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_verb_judges_true_frames(home: Path) -> None:
    """Report, results and plots lie in the folder; the world's own frames are read as what they are."""
    # The server that is started for the run finds its tables there.
    (home / "home" / "prefect").mkdir(parents=True, exist_ok=True)
    place_database(home / "home" / "prefect")
    cli = Cli(folder=home, prefect="")
    files = cli.json("evaluate", "--reference-frames", "--clips", "4", "--gate-clips", GATE_CLIPS, "--out", "report")
    result = read_result(home / files["true frames"])
    assert result.figures["quality/SSIM"].mean == pytest.approx(1.0)
    assert {lag.mean for lag in result.lags.values()} <= {0}
    page = (home / files["report"]).read_text(encoding="utf-8")
    assert figures_table([result]) in page
    for name in re.findall(r"!\[.*?\]\((.*?)\)", page):
        assert (home / "report" / name).read_bytes().startswith(b"\x89PNG")
    compared = cli(
        "compare", files["true frames"], files["true frames"], "--metric", "quality/SSIM", "--out", "table.md"
    )
    assert "+0.000 [+0.000, +0.000]" in (home / "table.md").read_text(encoding="utf-8"), compared.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--round-trip", "--reference-frames"], "two evaluations"),
        ([], "no model is named"),
        (["--model", "tiny-random", "--sweep", "audio=loud"], "expected a scale and its values"),
        (["--reference-frames", "--size", "64"], "expected WxH"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(words: list[str], why: str) -> None:
    """Before anything is started."""
    with pytest.raises(InvalidInput, match=why):
        app(["evaluate", *words], standalone_mode=False)
