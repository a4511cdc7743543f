"""The command trains stage after stage, stops when told to, and goes on."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model_runtime.humo.config import TINY_RANDOM
from model_runtime.humo.transformer import HumoTransformer
from model_runtime.training.__main__ import main
from model_runtime.training.freezing import is_of_speech
from tests.support.training import Clips

_SMALL = ["--batch", "2", "--clips", "4", "--side", "32", "--frames", "5", "--warmup", "1", "--cpu"]


def _train(clips: Clips, stage: str, out: Path, *more: str) -> int:
    return main(["train", "--stage", stage, "--out", str(out), "--weights", str(clips.weights), *_SMALL, *more])


def test_three_stages_one_after_the_other(tiny_clips: dict[str, Clips], tmp_path: Path) -> None:
    """Each stage starts from the last one's weights, leaves a whole transformer, and speaks only from stage 2 on."""
    clips = tiny_clips["tiny-random"]
    base, first, second = (tmp_path / name for name in ("base", "stage1", "stage2"))
    assert _train(clips, "base", base, "--steps", "1", "--train-text") == 0
    assert _train(clips, "stage1", first, "--steps", "1", "--start-from", str(base)) == 0
    assert _train(clips, "stage2", second, "--steps", "1", "--start-from", str(first)) == 0
    found = [load_file(out / "transformer.safetensors") for out in (base, first, second)]
    HumoTransformer.from_shape(TINY_RANDOM.transformer).load_state_dict(found[2])
    moved = {name for name in found[0] if not torch.equal(found[0][name], found[1][name])}
    assert moved
    assert all(".self_attn." in name for name in moved)
    moved = {name for name in found[1] if not torch.equal(found[1][name], found[2][name])}
    assert any(is_of_speech(name) for name in moved)
    assert all(is_of_speech(name) or ".self_attn." in name for name in moved)
    outputs = [name for name in found[0] if name.endswith("audio_cross_attn.o.weight")]
    assert not any(found[1][name].any() for name in outputs)
    assert all(found[2][name].any() for name in outputs)
    # The text encoder that the base trained goes with the weights, unchanged.
    texts = [(out / "text_encoder.safetensors").read_bytes() for out in (base, first, second)]
    assert texts[0] == texts[1] == texts[2]
    assert json.loads((second / "training.json").read_text())["stage"] == "stage2"


def test_a_signal_stops_after_the_step(
    tiny_clips: dict[str, Clips], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM ends the run with a checkpoint and says how to go on; going on works."""
    clips = tiny_clips["tiny-random"]

    is_over = threading.Event()

    def interrupt() -> None:
        while not is_over.wait(0.01):
            if list((tmp_path / "checkpoints").glob("step-*")):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=interrupt)
    thread.start()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert _train(clips, "stage1", tmp_path, "--steps", "100000", "--save-every", "1") == 130
    finally:
        is_over.set()
        thread.join()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert "run the same command with --resume to go on" in capsys.readouterr().err
    rows = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(range(len(rows)))
    assert (tmp_path / "checkpoints" / f"step-{len(rows):08d}").is_dir()
    assert _train(clips, "stage1", tmp_path, "--steps", "100000") == 3
    assert "add --resume to go on with it" in capsys.readouterr().err


def test_what_cannot_be_is_refused(
    tiny_clips: dict[str, Clips], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage that is not finished, too few clips and an unknown model end with what to do."""
    clips = tiny_clips["tiny-random"]
    assert _train(clips, "stage2", tmp_path / "a", "--steps", "1", "--start-from", str(tmp_path / "none")) == 2
    assert "finish the stage before" in capsys.readouterr().err
    assert _train(clips, "base", tmp_path / "b", "--steps", "1", "--batch", "9") == 2
    assert "take more examples or a smaller batch" in capsys.readouterr().err
    assert _train(clips, "base", tmp_path / "c", "--steps", "1", "--model", "humo-2B") == 2
    assert "unknown HuMo model" in capsys.readouterr().err
