"""The benchmarks run at a tiny size and say what they found in one shape. How fast anything is, no test asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import BENCHMARKS, main
from bench.figure import at_least, at_most


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one run over every benchmark wrote."""
    path = tmp_path_factory.mktemp("bench") / "new folder" / "bench.json"
    assert main(["--size", "tiny", "--json", str(path)]) == 0
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def test_a_report_says_where_it_was_taken(report: dict[str, Any]) -> None:
    """A report names its machine, its size, the load, and the time that each benchmark took."""
    assert report["size"] == "tiny"
    assert set(report["machine"]) == {"cores", "memory_gib", "processor", "system", "python", "ffmpeg"}
    assert list(report["seconds"]) == list(BENCHMARKS)
    assert report["load_before"] >= 0
    assert report["load_after"] >= 0


def test_every_figure_has_one_shape(report: dict[str, Any]) -> None:
    """Each figure has a name of its own, a value with its unit, a target, a verdict, and the numbers behind it."""
    figures = report["figures"]
    assert len({figure["name"] for figure in figures}) == len(figures) >= len(BENCHMARKS)
    for figure in figures:
        assert set(figure) == {"name", "value", "unit", "target", "met", "meaning", "parts"}
        assert figure["unit"]
        assert figure["meaning"]
        assert figure["target"] is None or isinstance(figure["met"], bool)
        assert figure["parts"]
        assert all(isinstance(value, float) for value in (figure["value"], *figure["parts"].values()))


def test_one_benchmark_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--only` runs the named benchmark and prints each of its figures."""
    path = tmp_path / "bench.json"
    assert main(["--size", "tiny", "--only", "joins", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert list(report["seconds"]) == ["joins"]
    printed = capsys.readouterr().out
    assert all(figure["name"] in printed for figure in report["figures"])


def test_targets_compare() -> None:
    """A target is met by its own value and by better ones only."""
    assert [at_least(2).is_met_by(value) for value in (1, 2, 3)] == [False, True, True]
    assert [at_most(2).is_met_by(value) for value in (1, 2, 3)] == [True, True, False]
