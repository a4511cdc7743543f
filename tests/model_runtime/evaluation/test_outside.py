"""Scores of the field are taken where their weights are, and named as missing where they are not."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model_runtime.dataset.syncnet import syncnet
from model_runtime.evaluation.outside import Scorer, Shown, scorers
from model_runtime.evaluation.scoring import face_boxes
from model_runtime.training.world.clip import Clip
from model_runtime.training.world.world import World
from schemas.errors import InvalidInput


def shown(clip: Clip) -> Shown:
    return Shown(
        frames=clip.frames,
        prompt=clip.caption,
        audio=clip.audio,
        references=clip.references,
        faces=tuple(map(face_boxes, clip.masks.faces)),
    )


VBENCH = """
import json, pathlib, subprocess, sys
told = sys.argv[1:]
videos, found = (pathlib.Path(told[told.index(name) + 1]) for name in ("--videos_path", "--output_path"))
[video] = videos.iterdir()
dimensions = told[told.index("--dimension") + 1 :]
if {left_out} < 0 or video.suffix != ".mp4" or told[0] != "evaluate" or "custom_input" not in told:
    sys.exit("out of memory")
found.mkdir()
said = {{name: [0.5, [{{"video_path": str(video), "video_results": 0.5}}]] for name in dimensions[{left_out}:]}}
(found / "results_2026_eval_results.json").write_text(json.dumps(said))
"""
"""Takes and leaves what the published command does; the package itself wants a torch of another year."""


@pytest.fixture
def vbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Scorer]:
    """The score by a command that leaves out so many dimensions, or fails where that is less than 0."""

    def command(left_out: int) -> Scorer:
        path, program = tmp_path / "bin" / "vbench", tmp_path / "vbench.py"
        path.parent.mkdir(exist_ok=True)
        program.write_text(VBENCH.format(left_out=left_out))
        # Not `#!{sys.executable}`: such a line ends at the first blank of a path.
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(program))} "$@"\n')
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
        monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "cache"))
        return next(one for one in scorers(tmp_path) if one.name == "VBench")

    return command


def test_vbench_is_asked_where_its_command_and_weights_are(vbench: Callable[[int], Scorer], tmp_path: Path) -> None:
    """It gets the clip as a video; a command that fails or says less is an error with what to do."""
    scorer = vbench(0)
    assert "fetch its weights" in scorer.missing
    (tmp_path / "cache" / "clip_model").mkdir(parents=True)
    assert scorer.missing == ""
    given = shown(World(frames=5, duos=0.0).clip(0))
    found = scorer.score(given)
    assert found["outside/VBench subject consistency"] == 0.5
    assert len(found) == 5
    with pytest.raises(InvalidInput, match="no results"):
        vbench(1).score(given)
    with pytest.raises(InvalidInput, match="out of memory"):
        vbench(-1).score(given)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without weights each score says what it needs, and none gives a number."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {scorer.name: scorer.missing for scorer in scorers(tmp_path)}
    assert set(found) == {"CLIP", "ArcFace / CurricularFace", "SyncNet", "VBench"}
    assert all(found.values())


class Mean(nn.Module):
    """An embedding by mean colour: enough to tell a picture from its negative."""

    def forward(self, faces: Tensor) -> Tensor:
        return faces.mean((2, 3))


def test_faces_are_scored_where_a_network_is(tmp_path: Path) -> None:
    """A clip is near its own reference, and the other way round near the reference's negative."""
    torch.export.save(torch.export.export(Mean(), (torch.zeros(1, 3, 112, 112),)), tmp_path / "faces.pt2")
    scorer = next(one for one in scorers(tmp_path) if one.name.startswith("ArcFace"))
    assert scorer.missing == ""
    clip = World(frames=3, duos=0.0).clip(0)
    given = shown(clip)
    own = Shown(**{**vars(given), "references": (cut(clip),)})
    negative = Shown(**{**vars(given), "references": (255 - cut(clip),)})
    name = "outside/face similarity to reference"
    assert scorer.score(own)[name] > 0.95
    assert scorer.score(negative)[name] < -0.95


def test_lips_are_scored_where_syncnet_is(tmp_path: Path) -> None:
    """Weights under the published names are loaded and asked; what is too short to be heard is left out."""
    scorer = next(one for one in scorers(tmp_path) if one.name == "SyncNet")
    assert "dataset/syncnet" in scorer.missing
    (tmp_path / "dataset" / "syncnet").mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(syncnet().state_dict(), tmp_path / "dataset" / "syncnet" / "syncnet_v2.model")
    assert scorer.missing == ""
    found = scorer.score(shown(World(frames=9, duos=0.0).clip(0)))
    assert set(found) == {"outside/SyncNet confidence", "outside/SyncNet offset"}
    assert np.isfinite(list(found.values())).all()
    assert scorer.score(shown(World(frames=5, duos=0.0).clip(0))) == {}


def cut(clip: Clip) -> np.ndarray:
    left, top, right, bottom = face_boxes(clip.masks.faces[0])[0]
    return clip.frames[0, top:bottom, left:right]


def test_clip_scores_where_a_clip_is(tmp_path: Path) -> None:
    """A CLIP as transformers saves it is used as it is: its own cosine comes out."""
    folder = tmp_path / "clip"
    model, processor = tiny_clip(folder)
    scorer = next(one for one in scorers(tmp_path) if one.name == "CLIP")
    assert scorer.missing == ""
    clip = World(frames=2).clip(0)
    words = processor.tokenizer([clip.caption], truncation=True, max_length=77, return_tensors="pt")
    pixels = processor.image_processor(list(clip.frames), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        found = model.get_image_features(pixel_values=pixels), model.get_text_features(**words)
    images, text = (getattr(features, "pooler_output", features) for features in found)
    cosine = torch.nn.functional.cosine_similarity(images, text).mean()
    assert scorer.score(shown(clip))["outside/CLIP similarity of prompt"] == pytest.approx(float(cosine), abs=1e-5)


def tiny_clip(folder: Path):  # type: ignore[no-untyped-def]
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    folder.mkdir()
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    config = CLIPConfig(
        text_config={**small, **ends, "vocab_size": len(words), "max_position_embeddings": 77},
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    torch.manual_seed(0)
    model = CLIPModel(config).eval()
    processor = CLIPProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")),
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor
