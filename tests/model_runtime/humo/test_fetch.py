"""Fetching from a hub: resolved once, resumed, always compared with the lock."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from model_runtime.humo.weights.fetch import fetch
from model_runtime.humo.weights.layout import HUMO, WAN, WHISPER, HumoModel, find_model
from model_runtime.humo.weights.lockfile import check_digests, find_lock, lock_path, read_lock
from schemas.errors import Corrupted, InvalidInput, Refused, Retryable
from tests.support.hub import Hub, running_hub

NAME = "tiny-random-1.7B"
VAE = "Wan2.1_VAE.pth"
MODEL = dataclasses.replace(find_model(NAME), published=True)


@pytest.fixture
def hub(own_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # Small pieces, so that a small file can be broken off in the middle.
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1 << 18)
    root = own_weights[NAME]
    for converted in read_lock(root, NAME).converted:
        (root / converted).unlink()
    folders = {HUMO: root / "HuMo", WAN: root / "Wan2.1-T2V-1.3B", WHISPER: root / "whisper-large-v3"}
    (folders[HUMO] / "README.md").write_text("not part of any model")
    with running_hub(folders) as running:
        yield running


def quiet(*_: object) -> None:
    pass


def bring(root: Path, hub: Hub, model: HumoModel = MODEL) -> None:
    fetch(root, model, quiet, endpoint=hub.endpoint)


def test_everything_comes_and_is_locked(hub: Hub, tiny_weights: dict[str, Path], tmp_path: Path) -> None:
    """The files of the model, nothing else; the lock holds revisions and the digests of what was published."""
    root, said = tmp_path / "here", list[tuple[str, int, int]]()
    lock = fetch(root, MODEL, lambda *facts: said.append(facts), endpoint=hub.endpoint)
    published = read_lock(tiny_weights[NAME], NAME)
    assert lock == read_lock(root, NAME)
    assert lock.files == published.files
    assert lock.digest == published.digest
    assert set(lock.repositories.values()) == {hub.revision}
    check_digests(root, lock)
    assert not (root / "HuMo" / "README.md").exists()
    assert {name for name, done, total in said if done == total} == set(lock.files)


def test_a_second_fetch_downloads_nothing(hub: Hub, tmp_path: Path) -> None:
    """What is here and agrees with the lock is left alone."""
    bring(tmp_path / "here", hub)
    hub.forget()
    bring(tmp_path / "here", hub)
    assert hub.requests == []


def test_a_stopped_fetch_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    """The lock stands before the large files; the next fetch asks for the rest of the one that was broken off."""

    def stop(name: str, done: int, total: int) -> None:
        if name.endswith(VAE) and done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path / "here", MODEL, stop, endpoint=hub.endpoint)
    lock = find_lock(tmp_path / "here", NAME)
    assert lock is not None
    hub.forget()
    bring(tmp_path / "here", hub)
    (asked,) = [asked for path, asked in hub.requests if path == VAE]
    assert int(asked.removeprefix("bytes=").removesuffix("-")) > lock.files[f"Wan2.1-T2V-1.3B/{VAE}"].size // 3
    check_digests(tmp_path / "here", lock)


def test_a_connection_that_breaks_is_taken_up_again(hub: Hub, tmp_path: Path) -> None:
    """A download that the server breaks off continues by itself."""
    hub.cut_after[VAE] = 600_000
    bring(tmp_path / "here", hub)
    assert [bool(asked) for path, asked in hub.requests if path == VAE] == [False, True]
    check_digests(tmp_path / "here", read_lock(tmp_path / "here", NAME))


def test_a_damaged_file_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    """A byte that changed on disk is found by the next fetch and mended."""
    root = tmp_path / "here"
    bring(root, hub)
    victim = root / "Wan2.1-T2V-1.3B" / VAE
    victim.write_bytes(victim.read_bytes()[:-1] + b"\0\0")
    bring(root, hub)
    check_digests(root, read_lock(root, NAME))


def test_a_repository_that_changed_is_refused(hub: Hub, tmp_path: Path) -> None:
    """Other bytes under the locked revision are thrown away, and the lock stays as it was."""
    root = tmp_path / "here"
    bring(root, hub)
    before = lock_path(root, NAME).read_bytes()
    published = hub.folders[WAN] / VAE
    published.write_bytes(b"something else".ljust(published.stat().st_size))
    (root / "Wan2.1-T2V-1.3B" / VAE).unlink()
    with pytest.raises(Corrupted, match="not the file that was locked"):
        bring(root, hub)
    assert not (root / "Wan2.1-T2V-1.3B" / VAE).exists()
    assert lock_path(root, NAME).read_bytes() == before


def test_a_new_revision_changes_nothing_for_a_locked_folder(hub: Hub, tmp_path: Path) -> None:
    """The lock's revision is asked for, not the newest; here the hub no longer has it."""
    root = tmp_path / "here"
    bring(root, hub)
    (root / "Wan2.1-T2V-1.3B" / VAE).unlink()
    hub.revision = "2" * 40
    with pytest.raises(Retryable, match="stopped"):
        bring(root, hub)


def test_a_part_that_is_not_published_is_named(hub: Hub, tmp_path: Path) -> None:
    """A repository without one of the model's files is refused before anything is downloaded."""
    (hub.folders[WHISPER] / "preprocessor_config.json").unlink()
    with pytest.raises(InvalidInput, match=r"lack whisper-large-v3/preprocessor_config\.json"):
        bring(tmp_path / "here", hub)
    assert hub.requests == []


def test_a_hub_that_is_away_can_be_tried_again(tmp_path: Path) -> None:
    """No hub, no lock; the error says that trying again may help."""
    with running_hub({}) as gone:
        pass
    with pytest.raises(Retryable, match=r"fetching tiny-random-1\.7B stopped"):
        bring(tmp_path / "here", gone)
    assert find_lock(tmp_path / "here", NAME) is None


def test_a_full_disk_is_foreseen(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is compared with what is still missing before the large files come."""
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("model_runtime.humo.weights.fetch.shutil.disk_usage", lambda _: usage)
    with pytest.raises(Refused, match="still needs"):
        bring(tmp_path / "here", hub)
    assert VAE not in {path for path, _ in hub.requests}


def test_models_made_here_are_fetched_from_nowhere(hub: Hub, tmp_path: Path) -> None:
    """The message names the command that makes them."""
    with pytest.raises(InvalidInput, match="published nowhere") as caught:
        bring(tmp_path / "here", hub, find_model(NAME))
    assert "make-tiny" in caught.value.fix
