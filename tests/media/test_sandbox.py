"""The sandbox: one child for many files, and no file that hurts anybody but itself."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from media.picture import check_picture
from media.sandbox import Kind, Sandbox, SandboxLimits
from media.soundtrack import ShotSound, write_soundtrack
from media.speech import check_speech, normalise_speech
from schemas.errors import InvalidMedia, Retryable
from schemas.problem import Code
from schemas.settings import Limits
from tests.support.media_files import image_bytes, noise, photo, png_bomb, write_sound

LIMITS = Limits()


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(LIMITS) as sandbox:
        yield sandbox


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    path.write_bytes(image_bytes(photo(), "JPEG"))
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_sound(tmp_path / "speech.flac", noise(1.0, 44_100), 44_100)


@pytest.fixture
def heavy(tmp_path: Path) -> Path:
    """A good picture of 39 megapixels."""
    path = tmp_path / "heavy.png"
    path.write_bytes(png_bomb(6_500, 6_000))
    return path


def test_answers_are_those_of_the_plain_functions(box: Sandbox, tmp_path: Path, picture: Path, speech: Path) -> None:
    """The child adds nothing and loses nothing."""
    assert box.check_picture(picture) == check_picture(picture, LIMITS)
    assert box.check_speech(speech) == check_speech(speech, LIMITS)
    inside, outside = tmp_path / "inside.wav", tmp_path / "outside.wav"
    assert box.normalise_speech(speech, inside) == normalise_speech(speech, outside)
    assert inside.read_bytes() == outside.read_bytes()


def test_relative_paths_mean_what_they_mean_to_the_caller(
    box: Sandbox, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child works in another folder; nobody notices."""
    monkeypatch.chdir(picture.parent)
    assert box.check_picture(Path(picture.name)).width == 120


def test_one_child_checks_many_files_good_and_bad(box: Sandbox, picture: Path, speech: Path) -> None:
    """A bad file's answer is its error, in its place, from the same child as all others."""
    box.check_picture(picture)
    child = box.pid
    files = [(Kind.PICTURE, picture), (Kind.PICTURE, speech), (Kind.SPEECH, speech), (Kind.SPEECH, picture)] * 50
    answers = list(box.check_many(files))
    assert [answer.code if isinstance(answer, InvalidMedia) else "good" for answer in answers] == [
        "good",
        Code.IMAGE_TYPE,
        "good",
        Code.AUDIO_TYPE,
    ] * 50
    assert box.pid == child


def test_threads_take_turns(box: Sandbox, tmp_path: Path) -> None:
    """Every caller gets the answer to its own question."""
    wrong: list[int] = []

    def check(width: int) -> None:
        path = tmp_path / f"{width}.png"
        path.write_bytes(image_bytes(photo(width, 80), "PNG"))
        wrong.extend(width for _ in range(10) if box.check_picture(path).width != width)

    threads = [threading.Thread(target=check, args=(100 + number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_killed_child_is_replaced_and_no_file_is_blamed(box: Sandbox, picture: Path) -> None:
    """Whether it dies between two files or over one, the next child answers."""
    box.check_picture(picture)
    first = box.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    threading.Timer(0.2, os.kill, (first, signal.SIGKILL)).start()
    assert box.check_picture(picture).width == 120
    second = box.pid
    assert second not in {None, first}
    os.kill(second or 0, signal.SIGKILL)
    assert box.check_picture(picture).width == 120


def test_a_picture_that_eats_the_memory_is_corrupt(heavy: Path, picture: Path) -> None:
    """The child survives or is replaced; the next file is checked as ever."""
    with Sandbox(LIMITS, sandbox=SandboxLimits(memory_bytes=60 * 2**20)) as tight:
        with pytest.raises(InvalidMedia) as refused:
            tight.check_picture(heavy)
        assert refused.value.code is Code.IMAGE_CORRUPT
        assert tight.check_picture(picture).width == 120


def test_a_file_that_takes_too_long_is_corrupt(picture: Path) -> None:
    """The child is killed with its group and the next file gets a fresh one."""
    with Sandbox(LIMITS, sandbox=SandboxLimits(wall_s=5.0)) as hasty:
        assert hasty.check_picture(picture).width == 120
        assert hasty.pid is not None
        os.kill(hasty.pid, signal.SIGSTOP)  # a child that works could be done before a starved parent looks
        with pytest.raises(InvalidMedia, match="longer than") as refused:
            hasty.check_picture(picture)
        assert refused.value.code is Code.IMAGE_CORRUPT
        assert hasty.pid is None
    with Sandbox(LIMITS) as patient:
        assert patient.check_picture(picture).width == 120


def test_a_file_that_burns_processor_time_is_corrupt(tmp_path: Path) -> None:
    """The processor limit kills the child, and that was the file's own doing: it is not tried again."""
    long = tmp_path / "long.flac"
    with soundfile.SoundFile(long, "w", 192_000, 1) as file:
        for _ in range(30):
            file.write(np.zeros(192_000 * 10, np.float32))
    with Sandbox(LIMITS, sandbox=SandboxLimits(cpu_s=0)) as lazy:
        with pytest.raises(InvalidMedia, match="processor time") as refused:
            lazy.check_speech(long)
        assert refused.value.code is Code.AUDIO_CORRUPT


def test_the_child_knows_no_secret(box: Sandbox, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this process's settings is in the environment of the process that decodes strangers' bytes."""
    monkeypatch.setenv("CALLSHEET_S3_SECRET_KEY", "canary")
    with Sandbox(LIMITS) as fresh:
        fresh.check_picture(picture)
        assert not [name for name in psutil.Process(fresh.pid).environ() if name.startswith("CALLSHEET")]


def test_a_closed_sandbox_leaves_no_process(picture: Path) -> None:
    """Closing ends the child; the same sandbox may be used again."""
    sandbox = Sandbox(LIMITS)
    sandbox.check_picture(picture)
    child = sandbox.pid
    sandbox.close()
    assert child is not None
    assert not psutil.pid_exists(child)
    assert sandbox.check_picture(picture).width == 120
    sandbox.close()


def test_a_child_that_cannot_start_is_nobodys_file(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an interpreter that runs, the platform is at fault and the check may be tried again."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    with Sandbox(LIMITS) as broken, pytest.raises(Retryable, match="does not start"):
        broken.check_picture(picture)


def test_a_forked_process_gets_a_child_of_its_own(box: Sandbox, picture: Path) -> None:
    """Two processes never share one child's answers, and the fork ends nobody else's."""
    box.check_picture(picture)
    mine = box.pid
    answers = multiprocessing.get_context("fork").SimpleQueue()

    def ask() -> None:
        answers.put((box.check_picture(picture).width, box.pid))
        box.close()

    process = multiprocessing.get_context("fork").Process(target=ask)
    process.start()
    width, other = answers.get()
    process.join()
    answers.close()
    assert width == 120
    assert other not in {None, mine}
    assert box.check_picture(picture).width == 120
    assert box.pid == mine


def test_a_folder_that_cannot_be_written_blames_the_machine(box: Sandbox, speech: Path, tmp_path: Path) -> None:
    """A full disk is no fault of the speech."""
    with pytest.raises(Retryable, match="cannot be written"):
        box.normalise_speech(speech, tmp_path / "none" / "n.wav")
    with pytest.raises(Retryable, match="cannot be written"):
        write_soundtrack([ShotSound(frames=25, speech=speech)], Path("/dev/full"))
