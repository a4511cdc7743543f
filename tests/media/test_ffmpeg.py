"""Running ffmpeg: which one is taken, and that nothing of it outlives its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from media.ffmpeg import FfmpegFailed, ffmpeg_binary, ffmpeg_version, file_url, guarded, run_ffmpeg
from media.process import ProcessLimits
from schemas.errors import InvalidSettings
from tests.support.media_files import noise, write_sound


def fake(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def gone(pid: int, *, within_s: float = 5) -> bool:
    """Whether a process ends within that time; a zombie that nobody collects counts as ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.01)
    return False


def test_the_variable_wins_then_the_path_then_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three places, in this order."""
    named = fake(tmp_path / "mine", "exit 0")
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(named))
    assert ffmpeg_binary() == str(named)
    monkeypatch.delenv("CALLSHEET_FFMPEG")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "imageio_ffmpeg" in ffmpeg_binary()
    on_path = fake(tmp_path / "ffmpeg", "exit 0")
    assert ffmpeg_binary() == str(on_path)


def test_a_variable_that_names_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another ffmpeg than the one asked for is never taken silently."""
    monkeypatch.setenv("CALLSHEET_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(InvalidSettings, match="/nowhere/ffmpeg"):
        ffmpeg_binary()


def test_the_version_is_the_first_line(each_ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ffmpegs say who they are; a program that does not run is an error."""
    assert ffmpeg_version().startswith("ffmpeg version")
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(fake(tmp_path / "broken", "exit 3")))
    with pytest.raises(InvalidSettings, match="does not run"):
        ffmpeg_version()


def test_a_failure_carries_what_ffmpeg_said(each_ffmpeg: str, tmp_path: Path) -> None:
    """The end of stderr is in the error."""
    (tmp_path / "a.wav").write_bytes(b"nonsense")
    with pytest.raises(FfmpegFailed, match=r"a\.wav") as failed:
        run_ffmpeg(["-f", "wav", "-i", file_url(tmp_path / "a.wav"), "-f", "null", "-"], timeout_s=30)
    assert "a.wav" in failed.value.stderr


def test_a_hanging_ffmpeg_is_killed_with_all_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ignores polite signals and has a child of its own is gone at the deadline."""
    pids = tmp_path / "pids"
    script = f"trap '' TERM INT HUP; sleep 600 & echo $! $$ > {pids}; wait; sleep 600"
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(fake(tmp_path / "ffmpeg", script)))
    began = time.monotonic()
    with pytest.raises(FfmpegFailed, match="did not end within"):
        run_ffmpeg([], timeout_s=0.5)
    assert time.monotonic() - began < 5
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def test_a_death_by_signal_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed from outside reads differently from failed."""
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(fake(tmp_path / "ffmpeg", "echo half >&2; kill -9 $$")))
    with pytest.raises(FfmpegFailed, match=r"killed by signal 9: half"):
        run_ffmpeg([], timeout_s=10)


def test_no_secret_and_no_shell_reaches_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments arrive as they are, and the environment is bare."""
    out = tmp_path / "out"
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(fake(tmp_path / "ffmpeg", f'env > {out}; echo "$*" >> {out}')))
    monkeypatch.setenv("CALLSHEET_S3_SECRET_KEY", "canary")
    run_ffmpeg(["$(touch pwned)", ";", "|"], timeout_s=10)
    said = out.read_text()
    assert "canary" not in said
    assert "-nostdin -hide_banner -xerror -y -loglevel error $(touch pwned) ; |" in said


def test_a_child_cannot_fill_the_disk(each_ffmpeg: str, tmp_path: Path) -> None:
    """Beyond the allowed file size writing fails, and so does the run."""
    source = write_sound(tmp_path / "a.wav", noise(10.0), 16_000)
    options = [part for key, value in guarded("wav").items() for part in (f"-{key}", value)]
    out = tmp_path / "b.wav"
    with pytest.raises(FfmpegFailed):
        run_ffmpeg(
            [*options, "-i", file_url(source), "-f", "wav", file_url(out)],
            timeout_s=30,
            limits=ProcessLimits(file_bytes=100_000),
        )
    assert out.stat().st_size <= 100_000


def test_a_child_cannot_burn_processor_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless loop ends at the processor limit, long before the wall limit."""
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(fake(tmp_path / "ffmpeg", "while :; do :; done")))
    began = time.monotonic()
    with pytest.raises(FfmpegFailed, match="killed by signal"):
        run_ffmpeg([], timeout_s=60, limits=ProcessLimits(cpu_s=1))
    assert time.monotonic() - began < 30


PORTION = bytes(1 << 20)


def test_what_is_fed_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All portions, in order, however large, and then the end."""
    out = tmp_path / "out"
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(fake(tmp_path / "ffmpeg", f"cat > {out}")))
    portions = [b"first", PORTION, b"", b"last"]
    run_ffmpeg([], timeout_s=30, feed=iter(portions))
    assert out.read_bytes() == b"".join(portions)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", "before it had read everything"),
        ("echo no >&2; exit 3", "ended with 3: no"),
        ("exec sleep 600", "did not end within 1 s"),
        ("head -c 100000 > /dev/null; exec 0<&-; exec sleep 600", "did not end within 1 s"),
    ],
)
def test_a_child_that_does_not_read_all_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    """Whether it ends well, badly or not at all: what it made of half its input is not taken."""
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(fake(tmp_path / "ffmpeg", script)))
    with pytest.raises(FfmpegFailed, match=said):
        run_ffmpeg([], timeout_s=1 if "600" in script else 30, feed=iter([PORTION, PORTION]))


def test_a_feed_that_breaks_off_leaves_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in what is fed comes out as it is, and the child is gone."""
    pid = tmp_path / "pid"
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(fake(tmp_path / "ffmpeg", f"echo $$ > {pid}; cat > /dev/null")))

    def broken() -> Iterator[bytes]:
        yield PORTION
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.01)
        raise ValueError("spoilt")

    with pytest.raises(ValueError, match="spoilt"):
        run_ffmpeg([], timeout_s=30, feed=broken())
    assert gone(int(pid.read_text()))
