"""Two ranks learn what one learns, and stop together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.support.ranks import train
from tests.support.training import Clips

_PATIENCE_S = 300.0


def _launch(weights: Path, out: Path, *, stopped_rank: int) -> None:
    out.mkdir()
    given = ["--standalone", "--nproc_per_node", "2", "-m", "tests.support.ranks"]
    command = [sys.executable, "-m", "torch.distributed.run", *given, str(weights), str(out), str(stopped_rank)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]


def _losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_two_ranks_are_one_and_stop_together(tiny_clips: dict[str, Clips], tmp_path: Path) -> None:
    """Each has half of the batch: losses and weights are one rank's; the one that is told to stop tells the other."""
    weights = tiny_clips["tiny-random"].weights
    _launch(weights, tmp_path / "stopped", stopped_rank=1)
    assert [(tmp_path / "stopped" / f"rank-{rank}").read_text() for rank in range(2)] == ["False", "False"]
    assert len(_losses(tmp_path / "stopped")) == 1
    assert train(weights, tmp_path / "one", stopped_rank=-1)
    _launch(weights, tmp_path / "two", stopped_rank=-1)
    assert _losses(tmp_path / "two") == pytest.approx(_losses(tmp_path / "one"), rel=1e-5)
    one, two = (load_file(tmp_path / name / "transformer.safetensors") for name in ("one", "two"))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4
