"""The three stages over the procedural world, spoilt on purpose: what is dropped is what was spoilt, and no more."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from model_runtime.dataset.finished import FinishedDataset
from model_runtime.dataset.workshop import Workshop
from model_runtime.dataset.world_clips import ClipSpoil, PictureSpoil, WorldClips
from model_runtime.training.world.identity import Split
from schemas.dataset import Step
from tests.support.datasets import by_convention, run_steps, workshop_of, world_order

CLIPS = 12


@dataclass
class Made:
    """A dataset and what is known of it beforehand."""

    shop: Workshop
    manifests: dict[Step, dict[str, Any]]
    world: WorldClips

    def samples(self, step: Step) -> dict[str, dict[str, bytes]]:
        shelf = self.shop.shelf(step)
        return {
            key: files
            for one in self.manifests[step]["shards"]
            for key, files in by_convention(shelf.path(one["name"]))
        }

    def pictures(self) -> list[tuple[str, PictureSpoil]]:
        """Every picture of the pool by key, and what is wrong with it."""
        found = []
        for index in range(CLIPS):
            for place in range(len(self.world.world.recipe(index, Split.TRAIN).identities)):
                for variant in range(2):
                    key = f"{self.world.key(index)}-{place}-{variant}"
                    found.append((key, self.world.picture_spoil(index, place, variant)))
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    spoils = {"offset": 0.2, "voice": 0.2, "noise": 0.4, "same_picture": 0.15, "same_clothes": 0.15, "lookalike": 0.2}
    order = world_order(clips=CLIPS, per_shard=5, frames=25, duos=0.25, seed=5, spoils=spoils)
    shop = workshop_of(order, tmp_path_factory.mktemp("dataset"))
    return Made(shop=shop, manifests=run_steps(shop), world=WorldClips(order))


def test_every_kind_of_spoil_is_there(made: Made) -> None:
    """The other tests here would prove nothing if one were missing."""
    assert {made.world.clip_spoil(index) for index in range(CLIPS)} == set(ClipSpoil)
    assert {spoil for _, spoil in made.pictures()} == set(PictureSpoil)


def test_references_are_what_was_not_spoilt(made: Made) -> None:
    """Same picture, same clothes and lookalike are each dropped by that name; what is kept is another picture of the
    same person in another pose."""
    looked = made.manifests[Step.REFERENCES]["looked"]
    spoils = [spoil for _, spoil in made.pictures()]
    assert looked["pictures: same picture"] == spoils.count(PictureSpoil.SAME_PICTURE)
    assert looked["pictures: same clothes"] == spoils.count(PictureSpoil.SAME_CLOTHES)
    assert looked["pictures: another person"] >= spoils.count(PictureSpoil.LOOKALIKE)
    good = {key for key, spoil in made.pictures() if spoil is PictureSpoil.NONE}
    kept = 0
    for key, files in made.samples(Step.REFERENCES).items():
        for reference in json.loads(files["json"])["references"]:
            kept += 1
            assert reference["from"] in good
            assert reference["from"].startswith(f"{key}-{reference['person']}-")
    # Of a clip that lost somebody else's references the good ones go with it.
    assert kept <= looked["pictures: kept"] == len(good) - looked.get("pictures: same pose", 0)


def test_a_clip_goes_when_somebody_in_it_has_no_reference(made: Made) -> None:
    """And only then: the counts say so."""
    before, after = made.samples(Step.CLIPS), made.samples(Step.REFERENCES)
    manifest = made.manifests[Step.REFERENCES]
    assert manifest["dropped"] == {"no reference": len(before) - len(after)}
    assert manifest["came"] == len(before) == CLIPS
    for files in after.values():
        said = json.loads(files["json"])
        assert {one["person"] for one in said["references"]} == set(range(said["people"]))


def test_sound_out_of_step_and_sound_of_others_are_dropped_by_name(made: Made) -> None:
    """Each clip that reached stage 2 is dropped exactly if its sound was moved or is another clip's."""
    came = {index for index in range(CLIPS) if made.world.key(index) in made.samples(Step.REFERENCES)}
    spoils = [made.world.clip_spoil(index) for index in came]
    manifest = made.manifests[Step.SPEECH]
    assert manifest["dropped"] == {
        "lips do not fit": spoils.count(ClipSpoil.VOICE),
        "out of sync": spoils.count(ClipSpoil.OFFSET),
    }
    kept = {made.world.key(index) for index in came if made.world.clip_spoil(index) is ClipSpoil.NONE}
    assert set(made.samples(Step.SPEECH)) == kept
    assert manifest["samples"] == len(kept) > 0


def test_noise_is_taken_off_again(made: Made) -> None:
    """What is kept is the sound before the noise, to the last sample."""
    noisy = 0
    for index in range(CLIPS):
        files = made.samples(Step.SPEECH).get(made.world.key(index))
        if files is None:
            continue
        noisy += made.world.is_noisy(index)
        sound, rate = soundfile.read(BytesIO(files["flac"]), dtype="int16")
        drawn = np.clip(np.rint(made.world.world.clip(index).audio * 32768.0), -32768, 32767)
        assert rate == 16_000
        assert np.array_equal(sound, drawn)
    assert noisy


def test_shards_are_read_by_the_convention_of_webdataset(made: Made) -> None:
    """Plain tars; the files of a sample are neighbours and say by their ending what they are."""
    for key, files in made.samples(Step.SPEECH).items():
        said = json.loads(files["json"])
        assert files["txt"].decode() == said["caption"]
        assert files["mp4"][4:8] == b"ftyp"
        assert len(soundfile.read(BytesIO(files["flac"]))[0]) == said["frames"] * 640
        names = {one["file"] for one in said["references"]}
        assert names == {name for name in files if name.startswith("ref")}
        for name in names:
            with Image.open(BytesIO(files[name])) as image:
                assert image.size == (64, 64)
        assert key.startswith("train-")
        assert said["sync"]["offset"] == 0


def test_the_manifest_says_what_became_of_everything(made: Made) -> None:
    """For each step: what came is what was kept and what was dropped; and the shards are those on the disk."""
    whole = FinishedDataset(made.shop.root)
    whole.check()
    assert whole.samples == sum(1 for _ in whole.read()) == made.manifests[Step.SPEECH]["samples"]
    said = json.loads((made.shop.root / "manifest.json").read_text())
    assert [step["step"] for step in said["steps"]] == list(Step)
    for step in said["steps"]:
        assert step["came"] == step["samples"] + sum(step["dropped"].values())
    assert "weights" not in said["order"]
