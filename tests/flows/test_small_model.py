"""The model that ships renders every kind of row on a CPU: what `make demo` does, in little."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.probe import probe_video
from tests.support.cli import ROOT, Cli, write_sheet

pytestmark = pytest.mark.skipif(
    not all(find_spec(name) for name in ("torch", "diffusers", "transformers")), reason="torch is not installed"
)

PICTURES = ROOT / "examples" / "quickstart" / "images"
ROWS = [
    {"row_id": "told", "prompt": "A person talks on a beach, in a red hoodie.", "image": "mara.png", "duration": "0.6"},
    {"row_id": "heard", "prompt": "Someone talks in a library, wearing a top hat.", "audio": "a.wav"},
    {"row_id": "both", "prompt": "Someone talks in a forest.", "image": "mara.png|ines.png", "audio": "a.wav"}
    | {"width": "384", "height": "576"},
]


def test_every_kind_of_row_comes_out(tmp_path: Path) -> None:
    """Pictures, speech, two people upright, speech longer than a clip: all pass the checks; silence is a track too."""
    for name in ("mara.png", "ines.png"):
        shutil.copy(PICTURES / name, tmp_path)
    seconds = np.arange(int(1.6 * 16_000)) / 16_000
    soundfile.write(tmp_path / "a.wav", 0.3 * np.sin(2 * np.pi * 180 * seconds) * np.sin(9 * seconds), 16_000)
    (tmp_path / "campaign.toml").write_text("width = 384\nheight = 384\n", encoding="utf-8")
    write_sheet(tmp_path, ROWS)
    cli = Cli(folder=tmp_path, environ={"CALLSHEET_WEIGHTS": str(ROOT / "examples" / "weights")})
    done = cli.json("run", "sheet.csv", "--engine", "humo", "--model", "humo-small", "--out", "out")
    assert (done["state"], done["published"]) == ("done", 3)
    facts = {row["row_id"]: probe_video(tmp_path / "out" / "videos" / f"{row['row_id']}.mp4") for row in ROWS}
    shapes = {name: (found.width, found.height, found.frames, found.has_audio) for name, found in facts.items()}
    assert shapes == {
        "told": (384, 384, 15, True),
        "heard": (384, 384, 40, True),
        "both": (384, 576, 40, True),
    }
    clips = {row_id: len(cli.json("explain", "sheet", row_id)["jobs"]) for row_id in ("told", "both")}
    assert clips["told"] == 1
    assert clips["both"] > 1
