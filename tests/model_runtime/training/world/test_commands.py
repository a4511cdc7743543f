"""`python -m model_runtime.training.world`: sheets and clips as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from media.probe import probe_video
from model_runtime.training.world.__main__ import main
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World


def test_a_contact_sheet(tmp_path: Path) -> None:
    sheet = tmp_path / "new" / "world.png"
    assert main(["--sheet", str(sheet), "--clips", "3", "--seed", "1", "--frames", "5"]) == 0
    with Image.open(sheet) as picture:
        assert picture.width > 1200
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 1000  # type: ignore[arg-type]


def test_a_clip_with_its_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An mp4 of the world's size and length with sound, its caption on standard output."""
    video = tmp_path / "clip.mp4"
    assert main(["--clip", "4", "--out", str(video), "--size", "96x64", "--frames", "25", "--split", "test"]) == 0
    facts = probe_video(video)
    assert (facts.frames, facts.width, facts.height, facts.has_audio) == (25, 96, 64, True)
    assert facts.audio_samples >= 48_000
    assert list(tmp_path.iterdir()) == [video]
    assert capsys.readouterr().out.strip() == World(width=96, frames=25).recipe(4, Split.TEST).caption


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--size", "64", "--figures"], "expected WxH"), (["--clip", "1"], "--clip needs --out"),
     (["--size", "70x64", "--figures"], "multiple of 16"), (["--sheet", "a.png", "--clips", "0"], "at least one")],
)  # fmt: skip
def test_mistakes_are_explained(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) != 0
    assert message in capsys.readouterr().err
