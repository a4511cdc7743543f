"""Shards: same samples, same bytes; and what is damaged is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_runtime.dataset.shard import DamagedShard, Sample, read_shard, write_shard
from model_runtime.dataset.shelf import Found, Shelf
from model_runtime.dataset.steps import EmptyStep, Steps, refuse_empty
from model_runtime.dataset.tally import Tally
from schemas.dataset import Step, read_order
from schemas.errors import InvalidInput, Retryable
from tests.support.datasets import EXACT, run_steps, workshop_of, world_order

SAMPLES = [
    Sample(key=f"a-{n}", files={"json": b"{}", "ref0.png": bytes([n] * 3000), "txt": b"hello"}) for n in range(3)
]


def samples(_tally: Tally) -> Iterator[Sample]:
    yield from SAMPLES


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path, Step.CLIPS)


def test_the_same_samples_are_the_same_bytes(tmp_path: Path) -> None:
    """Neither time nor owner goes into a shard, so its digest says what is in it."""
    first, second = (write_shard(tmp_path / name, SAMPLES) for name in ("a.tar", "b.tar"))
    assert first == second
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert list(read_shard(tmp_path / "a.tar", first.sha256)) == SAMPLES


@pytest.mark.parametrize("key", ["", "a.b", "../a", "a/b", "A", "x" * 100])
def test_a_key_is_no_path_and_has_no_dot(tmp_path: Path, key: str) -> None:
    """The first dot ends it, and nothing of it leads out of a folder."""
    with pytest.raises(ValueError, match="no name"):
        write_shard(tmp_path / "a.tar", [Sample(key=key, files={"json": b"{}"})])


def test_one_changed_byte_is_seen_before_the_first_sample(tmp_path: Path) -> None:
    """Nothing of a damaged shard is given out."""
    path = tmp_path / "a.tar"
    written = write_shard(path, SAMPLES)
    data = bytearray(path.read_bytes())
    data[-2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedShard, match="damaged"):
        next(read_shard(path, written.sha256))


def test_a_shelf_knows_what_is_missing_damaged_and_here(shelf: Shelf, tmp_path: Path) -> None:
    """Bytes, length and record are all looked at; a shard without its record was never finished."""
    recipe = {"step": "clips", "input": [1, 2]}
    record = shelf.make(recipe, samples, tmp_path)
    assert shelf.find(record.name, whole=True) is Found.HERE
    assert shelf.record(record.name) == record
    data = shelf.path(record.name).read_bytes()
    shelf.path(record.name).write_bytes(data[:-1] + b"x")
    assert shelf.find(record.name, whole=False) is Found.HERE
    assert shelf.find(record.name, whole=True) is Found.DAMAGED
    shelf.path(record.name).write_bytes(data[:-512])
    assert shelf.find(record.name, whole=False) is Found.DAMAGED
    shelf.make(recipe, samples, tmp_path)
    assert shelf.path(record.name).read_bytes() == data
    (shelf.folder / f"{record.name}.json").write_text('{"name": "')
    assert shelf.find(record.name, whole=False) is Found.DAMAGED
    (shelf.folder / f"{record.name}.json").unlink()
    assert shelf.find(record.name, whole=True) is Found.MISSING


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """A file where the folder should be: a clear error, and no half shard anywhere."""
    (tmp_path / "0-clips").write_text("in the way")
    with pytest.raises(Retryable, match="cannot be written"):
        Shelf(tmp_path, Step.CLIPS).make({"a": 1}, samples, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["0-clips"]


def test_settings_change_the_names_of_what_they_decide_and_of_nothing_else(tmp_path: Path) -> None:
    """The sync rule is stage 2's alone; more clips of the world keep the shards that there are."""
    order = world_order(clips=2, per_shard=1, frames=5)
    root = tmp_path / "set"
    manifests = run_steps(workshop_of(order, root))
    looser = order.model_copy(update={"rules": order.rules.model_copy(update={"max_offset": 3})})
    steps = Steps(workshop_of(looser, root))
    assert {state for step in list(Step)[:3] for _, state in steps.plan(step)} == {Found.HERE}
    assert {state for _, state in steps.plan(Step.SPEECH)} == {Found.MISSING}
    more = Steps(workshop_of(world_order(clips=3, per_shard=1, frames=5), root))
    names = [name for name, state in more.plan(Step.CLIPS) if state is Found.HERE]
    assert names == [one["name"] for one in manifests[Step.CLIPS]["shards"]]
    path = workshop_of(order, root).shelf(Step.CLIPS).path(names[0])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    again = Steps(workshop_of(order, root))
    name, _ = again.plan(Step.REFERENCES)[0]
    with pytest.raises(DamagedShard, match="made again from its input"):
        again.make(Step.REFERENCES, name)


def test_an_empty_step_says_what_was_dropped_by_what() -> None:
    """Not only that nothing is left."""
    manifest = {"stage": 2, "step": "speech", "samples": 0, "came": 5, "dropped": {"out of sync": 5}, "looked": {}}
    with pytest.raises(EmptyStep, match=r"stage 2 \(speech\) kept nothing of the 5 that came: 5 out of sync"):
        refuse_empty(manifest)


@pytest.mark.parametrize(
    ("seam", "name", "said"),
    [
        ("captioner", "qwen2.5-vl", "config.json"),
        ("detector", "scrfd", "det_10g.onnx"),
        ("embedder", "arcface", "w600k_r50.onnx"),
        ("scorer", "syncnet", "syncnet_v2.model"),
        ("enhancer", "kim-vocal-2", "Kim_Vocal_2.onnx"),
        ("detector", "nobody", "choose one of scrfd, world"),
    ],
)
def test_an_adapter_says_what_it_lacks(tmp_path: Path, seam: str, name: str, said: str) -> None:
    """Before anything is made: every missing file by name and folder, and how to get it."""
    order = world_order(clips=1).model_copy(update={"weights": str(tmp_path / "weights")})
    order = order.model_copy(update={"adapters": order.adapters.model_copy(update={seam: name})})
    with pytest.raises(InvalidInput) as caught:
        workshop_of(order, tmp_path / "set").team  # noqa: B018 - making the team is what fails
    assert said in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frames": 96}, "4n\\+1, such as 97"),
        ({"width": 70}, "multiple of 16"),
        ({"name": "No Name"}, "name"),
        ({"source": {"kind": "world", "spoils": {"offset": 0.7, "voice": 0.6}}}, "at most 1"),
        ({"rules": {"differ": ["hats"]}}, "differ"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_an_impossible_order_is_refused(change: dict[str, object], said: str) -> None:
    """Naming the value and what it must be."""
    order = {"name": "x", "source": {"kind": "world"}, "frames": 17, "adapters": EXACT, **change}
    with pytest.raises(InvalidInput, match=said):
        read_order(order)
