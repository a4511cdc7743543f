"""Clips and latents on disk: whole or not there, known by their digest, and the same as encoded on the way."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from model_runtime.training.batches import Batches
from model_runtime.training.cache import drawn as drawn_module
from model_runtime.training.cache import encoded as encoded_module
from model_runtime.training.cache.drawn import Drawing
from model_runtime.training.cache.encoded import EncodedExamples, Encoding
from model_runtime.training.cache.shards import Shards, make_shards, pack_texts, shard_count, unpack_texts
from model_runtime.training.examples import encode_clip
from model_runtime.training.stage import Stage
from model_runtime.training.world.world import World
from schemas.errors import InvalidInput
from tests.support.shards import numbers
from tests.support.training import TINY_WORLD, Clips

_CLIPS = 4
_PATIENCE_S = 120.0


@pytest.fixture(autouse=True)
def _short_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (drawn_module, encoded_module):
        monkeypatch.setattr(module, "SHARD", _CLIPS)


@pytest.fixture
def clips(tiny_clips: dict[str, Clips]) -> Clips:
    return tiny_clips["tiny-random-1.7B"]


def _encoding(clips: Clips, root: Path, world: World = TINY_WORLD) -> Encoding:
    drawing = Drawing(world=world, variants=2)
    return Encoding(drawing=drawing, drawn=root / "drawn", weights=clips.weights, model="tiny-random-1.7B")


def test_shards_are_made_once(tmp_path: Path) -> None:
    """Processes side by side make what is missing and nothing else; other content is another folder."""
    shards = Shards(tmp_path, {"what": "numbers"})
    shards.write(1, {"number": torch.full((3,), 7)})
    told: list[tuple[int, int]] = []
    make_shards(shards, 3, numbers, processes=2, on_shard=lambda done, count: told.append((done, count)))
    assert [int(shards.read(number)["number"][0]) for number in range(3)] == [0, 7, 2]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert Shards(tmp_path, {"what": "others"}).folder != shards.folder
    assert shard_count(129) == 2


def test_what_a_dying_run_left_does_not_count(tmp_path: Path) -> None:
    """A shard without its note, or shorter than it says, is made again."""
    shards = Shards(tmp_path, {})
    make_shards(shards, 2, numbers)
    shards.path(0).with_suffix(".json").unlink()
    shards.path(1).write_bytes(shards.path(1).read_bytes()[:-4])
    assert not shards.has(0)
    assert not shards.has(1)
    make_shards(shards, 2, numbers)
    assert [int(shards.read(number)["number"][0]) for number in range(2)] == [0, 1]


def test_a_killed_run_leaves_no_process(tmp_path: Path) -> None:
    """Those that make shards end by themselves after the one that they work for was killed."""
    child = subprocess.Popen([sys.executable, "-m", "tests.support.shards", str(tmp_path)], stderr=subprocess.DEVNULL)
    try:
        _until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    finally:
        child.kill()
        child.wait()
    workers = [int(path.read_text()) for path in tmp_path.glob("*.pid")]
    _until(lambda: not any(_works(worker) for worker in workers))


def _works(process: int) -> bool:
    try:
        # What follows the name is the state; nobody may have collected a dead one.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    """One flipped bit of full length stops the reader with the file's name, and repair finds just that shard."""
    shards = Shards(tmp_path, {})
    make_shards(shards, 2, numbers)
    data = bytearray(shards.path(1).read_bytes())
    data[-1] ^= 1
    shards.path(1).write_bytes(data)
    with pytest.raises(InvalidInput, match=r"shard-00001.safetensors is not what was written") as caught:
        shards.read(1)
    assert "--repair" in caught.value.fix
    assert shards.damaged(2) == [1]
    shards.discard(1)
    make_shards(shards, 2, numbers)
    assert shards.damaged(2) == []


def test_texts_come_back() -> None:
    """Whatever the letters."""
    texts = ["a hat", "", "Straße, 色"]
    assert unpack_texts(pack_texts(texts)) == texts


def test_encoded_clips_are_what_the_engine_makes_of_them(clips: Clips, tmp_path: Path) -> None:
    """Latents, references, tokens, features and masks of a shard, against the clip encoded by itself."""
    encoding = _encoding(clips, tmp_path)
    shards = encoding.shards(tmp_path)
    make_shards(shards, 2, encoding)
    examples = EncodedExamples([(shards, 2)])
    assert len(examples) == 2 * _CLIPS
    people = [examples.people(index) for index in range(len(examples))]
    assert set(people) == {1, 2}
    for index in (people.index(2), people.index(1, _CLIPS)):
        clip = TINY_WORLD.clip(index)
        pictures = [
            [Image.fromarray(TINY_WORLD.reference(clip.recipe, place, variant)) for place in range(people[index])]
            for variant in range(2)
        ]
        expected, found = encode_clip(clips.loaded, clip, pictures), examples.example(index)
        assert examples.shape(index) == tuple(expected.latents.shape[1:])
        torch.testing.assert_close(found.latents, expected.latents, atol=3e-3, rtol=2e-3)
        torch.testing.assert_close(found.references, expected.references, atol=3e-3, rtol=2e-3)
        torch.testing.assert_close(found.features, expected.features, atol=0.03, rtol=2e-3)  # 16-bit sound
        torch.testing.assert_close(found.face, expected.face, atol=1e-3, rtol=0)
        assert torch.equal(found.tokens, expected.tokens)


def test_other_networks_are_other_latents(clips: Clips, tiny_clips: dict[str, Clips], tmp_path: Path) -> None:
    """The key follows the frozen networks' digests and the world, not where the files lie."""
    encoding = _encoding(clips, tmp_path)
    moved = Encoding(drawing=encoding.drawing, drawn=tmp_path / "x", weights=clips.weights, model="tiny-random-1.7B")
    other = Encoding(
        drawing=encoding.drawing, drawn=tmp_path, weights=tiny_clips["tiny-random"].weights, model="tiny-random"
    )
    keys = [one.shards(tmp_path).key for one in (encoding, moved, other)]
    assert keys[0] == keys[1] != keys[2]
    assert _encoding(clips, tmp_path, World(width=32, height=32, frames=5)).shards(tmp_path).key != keys[0]


def test_batches_are_of_one_shape(clips: Clips, tmp_path: Path) -> None:
    """Clips of several lengths and sizes are learned from side by side, each batch of one kind."""
    rows = []
    for world in (TINY_WORLD, World(width=32, height=48, frames=5, supersample=1, duos=0.4)):
        encoding = _encoding(clips, tmp_path, world)
        shards = encoding.shards(tmp_path)
        make_shards(shards, 2, encoding)
        rows.append((shards, 2))
    channels = torch.linspace(0.5, 1.5, 16)
    made: Batches = clips.batches(Stage.BASE, steps=8, examples=EncodedExamples(rows), channels=channels)
    found = [made.batch(step) for step in range(8)]
    assert {tuple(batch.latents.shape) for batch in found} == {(2, 16, 4, 4, 4), (2, 16, 3, 6, 4)}
    weight = found[0].weight[0, :, 0, 0, 0]
    torch.testing.assert_close(weight / weight.mean(), channels)
