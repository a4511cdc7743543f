"""Building training sets with the real command and its real processes: killed, damaged, interrupted, in the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.dataset_build.build import Build, Cancelled
from flows.dataset_build.progress import Progress, ShardState
from schemas.dataset import DatasetOrder, Step
from schemas.errors import CallsheetError, InvalidInput, Refused, Retryable
from tests.support.cli import NO_PREFECT, Cli, interrupt
from tests.support.datasets import world_order

PATIENCE_S = 120.0
WORLD = ("world", "--frames", 9, "--variants", 2, "--seed", 2)


def digests(out: Path) -> dict[str, str]:
    """Every finished shard by its place, and what its record says."""
    found = {}
    for record in sorted(out.glob("*-*/*.json")):
        if record.name != "manifest.json":
            found[f"{record.parent.name}/{record.stem}"] = json.loads(record.read_text())["sha256"]
    return found


def leftovers(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if "part" in path.name or path.parent.name == ".scratch"]


def wait_for(out: Path, pattern: str) -> Path:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for path in out.glob(pattern):
            return path
        time.sleep(0.02)
    raise AssertionError(f"{pattern} did not appear")


def is_gone(process: psutil.Process) -> bool:
    """Also where nobody collects the dead of others."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips in a shard each, made in one go."""
    out = tmp_path_factory.mktemp("whole") / "set"
    Build(order=small(), out=out, jobs=2).run()
    return out


def small(**source: Any) -> DatasetOrder:
    return world_order(clips=4, per_shard=1, frames=9, seed=2, **source)


def test_killed_in_the_middle_it_goes_on(whole: Path, tmp_path: Path) -> None:
    """kill -9 of the command: its processes end by themselves, what was finished is not touched again, and the end is
    the same to the last byte."""
    cli, out = Cli(folder=tmp_path), tmp_path / "set"
    words = ("dataset", "build", *WORLD, "--clips", 4, "--per-shard", 1, "--name", "small", "--out", out)
    process = cli.start(*words)
    first = wait_for(out, "0-clips/*.json")
    makers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    # Nobody is there to end them: they see that their flow is gone.
    assert makers
    deadline = time.monotonic() + PATIENCE_S
    while not all(is_gone(maker) for maker in makers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*-*/*.tar") if path.with_suffix(".json").exists()}
    assert first.with_suffix(".tar") in before
    assert not (out / "manifest.json").exists()
    said = cli.json(*words, "--jobs", 2)
    assert said["made"] == len(digests(whole)) - len([p for p in before if p.with_suffix(".json").exists()])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert digests(out) == digests(whole)
    assert json.loads((out / "manifest.json").read_text()) == json.loads((whole / "manifest.json").read_text())
    assert leftovers(out) == []


def test_again_it_does_nothing_and_what_is_damaged_is_made_again(whole: Path) -> None:
    """A finished set is only read; of a damaged one exactly the damaged shard is made, with the same bytes."""
    build = Build(order=small(), out=whole)
    before = digests(whole)
    build.run()
    assert {state for step in build.progress.steps.values() for state in step.shards.values()} == {ShardState.HERE}
    hurt = next(whole.glob("3-speech/*.tar"))
    good = hurt.read_bytes()
    hurt.write_bytes(good[:1000] + bytes([good[1000] ^ 1]) + good[1001:])
    cli = Cli(folder=whole.parent)
    shown = cli("dataset", "show", whole, "--verify")
    assert shown.returncode == 1
    assert f"shard {hurt.name} is damaged" in shown.stderr
    again = Build(order=small(), out=whole)
    again.run()
    assert again.progress.steps[Step.SPEECH].damaged == 1
    assert sum(step.made for step in again.progress.steps.values()) == 1
    assert hurt.read_bytes() == good
    assert digests(whole) == before


def test_an_empty_stage_stops_with_its_counts(tmp_path: Path) -> None:
    """It says what dropped them all, and leaves what the stages before it made."""
    out = tmp_path / "set"
    build = Build(order=world_order(clips=1, frames=33, spoils={"offset": 1.0}), out=out)
    with pytest.raises(InvalidInput, match=r"stage 2 \(speech\) kept nothing of the 1 that came: 1 out of sync"):
        build.run()
    assert not (out / "manifest.json").exists()
    assert {place.partition("/")[0] for place in digests(out)} == {"0-clips", "1-faces", "2-references", "3-speech"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("build", "nowhere", "--out", "set", "--detector", "world"), 2, "packages insightface, onnxruntime"),
        (("build", "world", "--frames", 96, "--out", "set"), 2, "4n+1, such as 97"),
        (("build", "world", "--spoil", "hats=1", "--out", "set"), 2, "hats"),
        (("build", "world", "--clips", 1, "--out", "file"), 1, "file cannot be written"),
        (("show", "empty"), 2, "holds no finished dataset"),
    ],
)
def test_what_cannot_be_done_is_said_with_how_to_mend_it(
    monkeypatch: pytest.MonkeyPatch, words: Any, code: int, said: str
) -> None:
    """What is wrong and how to mend it; the exit code says whose fault it is."""
    monkeypatch.setenv("CALLSHEET_PREFECT_API_URL", NO_PREFECT)
    done = CliRunner().invoke(app, ["dataset", *map(str, words)])
    assert isinstance(done.exception, CallsheetError)
    assert said in done.exception.message
    assert done.exception.fix
    assert done.exception.exit_code == code


@pytest.mark.parametrize(("videos", "said"), [("nowhere", "is no folder"), ("empty", "no videos in")])
def test_a_folder_without_videos_is_refused(folder: Path, videos: str, said: str) -> None:
    """Missing or empty: nothing is begun."""
    order = small().model_dump(mode="json") | {"source": {"kind": "folder", "videos": str(folder / videos)}}
    with pytest.raises(InvalidInput, match=said):
        Build(order=DatasetOrder.model_validate(order), out=folder / "set").run()
    assert digests(folder / "set") == {}


class _Interrupting:
    """Stops the build when the first shard of a step is being made."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.seen = False

    def look(self, progress: Progress) -> None:
        self.seen = self.seen or bool(progress.steps.get(self._step) and progress.steps[self._step].at_work)


def test_cancelled_it_keeps_what_is_made_and_no_process(tmp_path: Path) -> None:
    """The process that was making a shard is gone, and nothing half-made is left."""
    onlooker = _Interrupting(Step.CLIPS)
    order, out = world_order(clips=200, per_shard=100), tmp_path / "set"
    build = Build(order=order, out=out, onlookers=(onlooker,), is_cancelled=lambda: onlooker.seen)
    with pytest.raises(Cancelled):
        build.run()
    assert leftovers(out) == []
    assert digests(out) == {}


def test_interrupted_it_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a shard: exit code 130, no traceback, nothing half-made."""
    cli, out = Cli(folder=tmp_path), tmp_path / "set"
    process = cli.start("dataset", "build", *WORLD, "--clips", 200, "--per-shard", 200, "--out", out)
    wait_for(out, ".scratch/maker-*/*.tar")
    interrupt(process)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said
    assert "run the same command again to go on" in said
    assert "Traceback" not in said
    assert leftovers(out) == []


def test_two_builds_of_one_folder_never_run_together(tmp_path: Path) -> None:
    """The second is refused while the first is at work."""
    out, refused = tmp_path / "set", []

    class Second:
        def look(self, _: Progress) -> None:
            if not refused:
                with pytest.raises(Refused, match="another build is at work"):
                    Build(order=small(), out=out).run()
                refused.append(True)

    order = world_order(clips=1, frames=5, spoils={})
    Build(order=order, out=out, onlookers=(Second(),)).run()
    assert refused


def test_a_process_that_dies_over_a_shard_is_replaced_once(tmp_path: Path) -> None:
    """Killed from outside, the shard is made by a fresh one."""
    out, killed = tmp_path / "set", []

    class Killer:
        def look(self, progress: Progress) -> None:
            step = progress.steps.get(Step.CLIPS)
            if step is not None and step.at_work and not killed:
                for maker in _children():
                    os.kill(maker, signal.SIGKILL)
                    killed.append(maker)

    build = Build(order=world_order(clips=3, frames=9, seed=2), out=out, onlookers=(Killer(),))
    build.run()
    assert len(killed) == 1
    assert (out / "manifest.json").exists()
    assert leftovers(out) == []


def _children() -> list[int]:
    """Processes of this one that make shards."""
    mine = psutil.Process().children()
    return [one.pid for one in mine if "model_runtime.dataset" in one.cmdline()]


def test_a_full_disk_is_said_and_leaves_no_half_shard(tmp_path: Path) -> None:
    """And with room made, the same command finishes."""
    small_disk = tmp_path / "disk"
    small_disk.mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount += [f'mount -t tmpfs -o size=48k tmpfs {small_disk} && "$@"; code=$?; find {small_disk}; exit $code', "sh"]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    cli = Cli(folder=tmp_path)
    words = cli.command("dataset", "build", *WORLD, "--clips", 8, "--per-shard", 8, "--out", small_disk / "set")
    done = subprocess.run(
        [*mount, *words], cwd=tmp_path, env=cli.full_environ, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert "fix: make room" in done.stderr
    assert "Traceback" not in done.stderr
    left = [line for line in done.stdout.splitlines() if line.endswith((".tar", ".part")) or "/maker-" in line]
    assert left == []


def test_a_folder_that_cannot_be_made_is_the_machines_fault(tmp_path: Path) -> None:
    """Below a file: said as such, and it may be tried again elsewhere."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Retryable, match="cannot be written"):
        Build(order=small(), out=tmp_path / "file" / "set").run()
