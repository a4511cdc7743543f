"""What HuMo cannot render is said before anything is stored or started."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.cli import Cli, write_picture, write_sheet


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    write_picture(tmp_path)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    return Cli(folder=tmp_path)


def test_a_sheet_beyond_the_model_is_refused_row_by_row(cli: Cli) -> None:
    """A size off the grid, a size too large, speech of zero length, 13 references: each by its own code, with a fix."""
    row = {"prompt": "a person waits", "image": "face.png", "duration": "0.4", "width": "64", "height": "64"}
    write_sheet(
        cli.folder,
        [
            {"row_id": "good", **row},
            {"row_id": "grid", **row, "width": "72"},
            {"row_id": "large", **row, "width": "1280"},
            {"row_id": "many", **row, "image": "|".join(["face.png"] * 13)},
            {"row_id": "mute", "prompt": "a person speaks", "audio": "empty.wav", "width": "64", "height": "64"},
        ],
    )
    said = cli.json("validate", "sheet.csv", "--model", "tiny-random", code=2)
    problems = {problem["row_id"]: problem for problem in said["problems"]}
    assert {row_id: problem["code"] for row_id, problem in problems.items()} == {
        "grid": "SIZE_UNSUPPORTED",
        "large": "SIZE_UNSUPPORTED",
        "many": "REFERENCES_TOO_MANY",
        "mute": "AUDIO_TOO_SHORT",
    }
    assert all(problem["fix"] for problem in problems.values())


@pytest.mark.parametrize(("model", "size", "how"), [("tiny-random", "64", "make-tiny"), ("humo-17B", "256", "fetch")])
def test_a_model_without_its_lock_renders_nothing(cli: Cli, model: str, size: str, how: str) -> None:
    """`run` ends with 2, names the command that brings the weights, and stores nothing."""
    row = {"row_id": "a", "prompt": "a person waits", "image": "face.png", "duration": "0.4"}
    write_sheet(cli.folder, [{**row, "width": size, "height": size}])
    done = cli("run", "sheet.csv", "--model", model, "--out", "out")
    assert done.returncode == 2
    assert "there is no lock file" in done.stderr
    assert f"callsheet model {how} {model}" in done.stderr
    assert cli.json("status") == []


@pytest.mark.parametrize(("verb", "asked", "written"), [("run", ["--ranks", "2"], ""), ("submit", [], "ranks = 2\n")])
def test_a_gang_of_more_ranks_is_refused_before_anything_is_stored(
    cli: Cli, verb: str, asked: list[str], written: str
) -> None:
    """One device renders a HuMo clip; who asks for two is told so, and how more devices are used."""
    row = {"row_id": "a", "prompt": "a person waits", "image": "face.png", "duration": "0.4"}
    write_sheet(cli.folder, [{**row, "width": "64", "height": "64"}])
    (cli.folder / "campaign.toml").write_text(written, encoding="utf-8")
    done = cli(verb, "sheet.csv", "--model", "tiny-random", *asked)
    assert done.returncode == 2
    assert "2 ranks to render one clip, expected at most 1 for the engine 'humo'" in done.stderr
    assert "more workers render more clips" in done.stderr
    assert [path for path in (cli.folder / "home").rglob("*") if path.is_file()] == []
