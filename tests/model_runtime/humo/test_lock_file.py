"""The lock file: what was resolved once is what must lie there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_runtime.humo.weights.lockfile import (
    check_digests,
    check_sizes,
    expected_files,
    find_lock,
    lock_path,
    read_lock,
    write_lock,
)
from schemas.errors import InvalidInput
from schemas.weights import LockedFile, WeightsLock

NAME = "tiny-random"


def test_intact_weights_pass(tiny_weights: dict[str, Path]) -> None:
    """Files as they were made agree with their lock, and every byte is read."""
    root, read = tiny_weights[NAME], list[tuple[str, int, int]]()
    lock = read_lock(root, NAME)
    check_digests(root, lock, lambda *facts: read.append(facts))
    assert sum(done for _, done, total in read if done == total) == sum(
        f.size for f in expected_files(root, lock).values()
    )


def test_one_flipped_bit_is_noticed(own_weights: dict[str, Path]) -> None:
    """A file of the right size with one wrong bit is named; its size alone gives nothing away."""
    root = own_weights[NAME]
    victim = sorted(root.rglob("humo-*.safetensors"))[1]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    lock = read_lock(root, NAME)
    check_sizes(root, lock)
    with pytest.raises(InvalidInput, match=f"{victim.name} has SHA-256") as caught:
        check_digests(root, lock)
    assert "model make-tiny" in caught.value.fix


def test_every_missing_and_short_file_is_named_at_once(own_weights: dict[str, Path]) -> None:
    """Sizes are compared before anything is read."""
    root = own_weights[NAME]
    first, second, *_ = sorted(root.rglob("humo-*.safetensors"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(InvalidInput, match=rf"{first.name} is missing; .*{second.name} has \d+ bytes"):
        check_digests(root, read_lock(root, NAME))


def test_a_lock_survives_its_file(tmp_path: Path) -> None:
    """Written and read again it is the same value."""
    lock = WeightsLock(
        model="m", repositories={"a/b": "0" * 40, "c/d": None}, files={"b/x": LockedFile(sha256="1" * 64, size=3)}
    )
    write_lock(tmp_path, lock)
    assert read_lock(tmp_path, "m") == lock
    assert [path.name for path in tmp_path.iterdir()] == ["m.lock.json"]


def test_without_a_lock_there_are_no_weights(tmp_path: Path) -> None:
    """Nothing is taken for weights because it happens to lie there."""
    assert find_lock(tmp_path, NAME) is None
    with pytest.raises(InvalidInput, match="no weights of tiny-random were fetched"):
        read_lock(tmp_path, NAME)


@pytest.mark.parametrize(
    ("key", "value"),
    [("digest", "0" * 64), ("format", 2), ("files", {}), ("files", {"x": {}}), ("model", "another"), ("converted", 3)],
)
def test_an_edited_lock_is_refused(own_weights: dict[str, Path], key: str, value: object) -> None:
    """Its own digest, format and shape are checked, and that it is the lock of this model."""
    path = lock_path(own_weights[NAME], NAME)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InvalidInput):
        read_lock(own_weights[NAME], NAME)


def test_another_models_lock_is_refused(own_weights: dict[str, Path]) -> None:
    """A lock copied under another name says whose it is."""
    root = own_weights[NAME]
    lock_path(root, "humo-17B").write_bytes(lock_path(root, NAME).read_bytes())
    with pytest.raises(InvalidInput, match="is the lock of 'tiny-random'"):
        read_lock(root, "humo-17B")


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": 1}'])
def test_what_is_no_lock_is_refused(tmp_path: Path, text: str) -> None:
    """Whatever stands in the file becomes one clear error."""
    lock_path(tmp_path, NAME).write_text(text)
    with pytest.raises(InvalidInput, match="no lock file"):
        read_lock(tmp_path, NAME)
