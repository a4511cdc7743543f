"""The lock file as a value."""

from __future__ import annotations

import dataclasses
import json

import pytest

from schemas.errors import InvalidInput
from schemas.weights import ConvertedFile, LockedFile, WeightsLock, lock_name

LOCK = WeightsLock(
    model="m",
    repositories={"owner/name": "0" * 40},
    files={"name/a.pth": LockedFile(sha256="1" * 64, size=3), "name/b": LockedFile(sha256="2" * 64, size=4)},
)
CONVERTED = {"name/a.safetensors": ConvertedFile(sha256="3" * 64, size=5, source="name/a.pth")}


def test_text_and_value_are_the_same() -> None:
    """What is written is read again as it was."""
    lock = dataclasses.replace(LOCK, converted=CONVERTED)
    assert WeightsLock.parse(lock.as_json()) == lock
    assert lock_name(lock.model) == "m.lock.json"


def test_the_digest_covers_what_was_published() -> None:
    """Other bytes or another name give another digest; revision and conversion do not."""
    assert dataclasses.replace(LOCK, converted=CONVERTED, repositories={}).digest == LOCK.digest
    assert dataclasses.replace(LOCK, model="n").digest != LOCK.digest
    changed = {**LOCK.files, "name/b": LockedFile(sha256="4" * 64, size=4)}
    assert dataclasses.replace(LOCK, files=changed).digest != LOCK.digest


@pytest.mark.parametrize(
    "change", [{"digest": "0" * 64}, {"format": 2}, {"files": {}}, {"files": {"x": {}}}, {"converted": 3}, {"model": 3}]
)
def test_an_edited_lock_is_refused(change: dict[str, object]) -> None:
    """Its own digest, format and shape are checked."""
    with pytest.raises(InvalidInput, match="no lock file"):
        WeightsLock.parse(json.dumps(json.loads(LOCK.as_json()) | change))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "7"])
def test_what_is_no_lock_is_refused(text: str) -> None:
    """Whatever stands in the file becomes one clear error."""
    with pytest.raises(InvalidInput, match="some file is no lock file"):
        WeightsLock.parse(text, name="some file")
