"""The quickstart's sheet keeps the rules that make it a good first example."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import soundfile
from PIL import Image

from model_runtime.training.world import captions
from model_runtime.training.world.identity import Split
from schemas.campaign import CampaignSettings
from schemas.campaign_file import parse_campaign_file
from schemas.manifest.parse import parse_manifest
from schemas.manifest.rows import ManifestRow, check_rows
from schemas.mode import Mode
from schemas.model_spec import HUMO_1_7B, HUMO_17B, HUMO_SMALL, TINY_RANDOM
from schemas.settings import Limits

EXAMPLES = Path(__file__).parents[3] / "examples"
FOLDER = EXAMPLES / "quickstart"


@pytest.fixture(scope="module")
def settings() -> CampaignSettings:
    return parse_campaign_file((FOLDER / "campaign.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows(settings: CampaignSettings) -> tuple[ManifestRow, ...]:
    parsed = parse_manifest((FOLDER / "campaign.csv").read_bytes(), name="campaign.csv", limits=Limits())
    found = check_rows(parsed, settings=settings, model=HUMO_17B, limits=Limits())
    assert found.problems == ()
    return tuple(found.rows)


def seconds(row: ManifestRow) -> float:
    return float(soundfile.info(FOLDER / row.audio).duration) if row.audio else 0.0


def test_every_file_of_the_sheet_is_there_and_no_other(rows: tuple[ManifestRow, ...]) -> None:
    named = {name for row in rows for name in (*row.images, *filter(None, [row.audio]))}
    lying = {str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/*")}
    assert named == lying
    for name in named:
        if name.startswith("images/"):
            with Image.open(FOLDER / name) as image:
                image.load()


def test_it_shows_every_kind_of_row(rows: tuple[ManifestRow, ...]) -> None:
    videos: dict[str, list[ManifestRow]] = {}
    for row in rows:
        videos.setdefault(row.video, []).append(row)
    assert len(videos) >= 6
    assert len(rows) >= 9
    assert 3 in {len(members) for members in videos.values()}
    assert {row.mode for row in rows} == set(Mode)
    assert any(len(row.images) == 2 for row in rows)
    assert any(row.mode is Mode.TI and row.duration == 3 for row in rows)
    assert max(seconds(row) for row in rows) > 12
    assert {Path(name).suffix for row in rows for name in row.images} == {".png", ".jpg", ".webp"}
    assert {Path(row.audio).suffix for row in rows if row.audio} == {".wav", ".flac", ".ogg"}


def test_placeholders_come_from_a_column_and_from_the_campaign(
    rows: tuple[ManifestRow, ...], settings: CampaignSettings
) -> None:
    prompts = {row.row_id: row.prompt for row in rows}
    assert "talks in a photo studio, in a blue suit jacket" in prompts["keynote"]
    assert all(prompt.endswith(settings.placeholders["view"]) for prompt in prompts.values())


def test_a_column_is_passed_through_and_a_video_has_another_size(rows: tuple[ManifestRow, ...]) -> None:
    with (FOLDER / "campaign.csv").open(encoding="utf-8", newline="") as stream:
        assert "client" in next(csv.reader(stream))
    assert {(row.width, row.height) for row in rows} == {(None, None), (384, 576)}


def test_prompts_are_in_the_words_of_the_procedural_world(rows: tuple[ManifestRow, ...]) -> None:
    """Each says one scene in full, with as many people as it has pictures, and nobody of them is known to training."""
    for row in rows:
        assert len(captions.read(row.prompt.replace("\n", " ")).roles) == max(1, len(row.images))
    assert {sitter.identity.split for sitter in load("make_quickstart").SITTERS.values()} == {Split.TEST}


def test_it_is_small_enough_for_a_first_try(rows: tuple[ManifestRow, ...], settings: CampaignSettings) -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 1_500_000
    assert 40 <= sum(seconds(row) for row in rows) <= 50
    assert settings.width is not None
    assert settings.height is not None
    for model in (HUMO_17B, HUMO_1_7B, HUMO_SMALL, TINY_RANDOM):
        assert model.size_error(settings.width, settings.height) is None


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks up the module that it stands in.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_script_still_makes_what_is_committed(tmp_path: Path) -> None:
    """Text to the byte; pictures and sound to what an encoder's version may change."""
    load("make_quickstart").make(tmp_path)
    for name in ("campaign.csv", "campaign.toml"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
    for path in FOLDER.glob("images/*"):
        with Image.open(path) as ours, Image.open(tmp_path / "images" / path.name) as made:
            assert (ours.size, ours.format) == (made.size, made.format)
            small = [list(picture.convert("L").resize((8, 8)).tobytes()) for picture in (ours, made)]
            assert max(abs(a - b) for a, b in zip(*small, strict=True)) <= 3
    for path in FOLDER.glob("audio/*"):
        assert soundfile.info(path).frames == soundfile.info(tmp_path / "audio" / path.name).frames
