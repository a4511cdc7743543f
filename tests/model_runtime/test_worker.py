"""Real workers on a real ledger and store: what comes of a job, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from media.output_gate import check_clip
from model_runtime.phases import Step
from schemas.states import Blame, Ending, JobState
from schemas.worker_exit import WorkerExit
from tests.support.requests import make_job
from tests.support.workers import ROOT, Installation

SLOW = "[slow=0.05]"
"""With 401 frames this takes twenty seconds: long enough to do something to it."""


def slow_job(row: int = 0, *, frames: int = 401, **changes: object):  # type: ignore[no-untyped-def]
    return make_job(f"row-{row}", f"{SLOW} {row}", num_frames=frames, keep_frames=frames, **changes)


def endings(installation: Installation, row: int = 0) -> list[Ending | None]:
    return [attempt.ending for attempt in installation.attempts(row)]


# -- what goes well ------------------------------------------------------------------------------------------------


def test_a_job_becomes_a_clip(installation: Installation, tmp_path: Path) -> None:
    """The clip that the ledger points to decodes, has the kept frames only, and nothing else is left behind."""
    installation.submit_prompts("a person speaks")
    worker = installation.start("--idle-exit=0.5")
    assert worker.exit_code() == WorkerExit.DRAINED
    job = installation.job()
    assert job.state is JobState.RENDERED
    path = tmp_path / "clip.mp4"
    installation.store.get_file(job.clip_key, path)
    check_clip(path, frames=8, width=64, height=64, fps=25, frozen_allowed=False)
    assert endings(installation) == [Ending.OK]
    assert installation.attempts()[0].device_s > 0
    assert list((installation.home / "scratch").iterdir()) == []


def test_workers_share_the_queue(installation: Installation) -> None:
    """Several workers at once render every job, and each job once."""
    installation.submit_prompts(*(f"person {number}" for number in range(12)))
    workers = [installation.start("--idle-exit=1") for _ in range(3)]
    assert [worker.exit_code() for worker in workers] == [0, 0, 0]
    assert all(endings(installation, row) == [Ending.OK] for row in range(12))
    keys = {stored.key for stored in installation.store.list("clips/")}
    assert keys == {installation.job(row).clip_key for row in range(12)}


def test_a_gang_of_two_ranks_renders(installation: Installation) -> None:
    """A job of a pool with two ranks is rendered by two processes that count as one worker."""
    installation.submit(make_job("row-0"), ranks=2)
    worker = installation.start("--ranks=2")
    installation.wait(lambda: len(worker.children(" rank ")) == 2)
    installation.wait(installation.rendered())


def test_inputs_reach_the_engine(installation: Installation, portrait: Path) -> None:
    """Inputs come from the store, verified, and the engine reads them as local files."""
    picture = installation.put(portrait, "image/png")
    installation.submit(make_job("row-0", engine="animatic", images=(picture,)), engine="animatic")
    worker = installation.start("--engine=animatic", "--idle-exit=0.5")
    assert worker.exit_code() == 0
    assert endings(installation) == [Ending.OK]


# -- ranks and encoder ---------------------------------------------------------------------------------------------


def test_a_killed_rank_costs_one_attempt(installation: Installation) -> None:
    """The attempt blames the worker and says how the rank died; a new gang renders the job."""
    installation.submit(slow_job(frames=29))
    worker = installation.start()
    installation.wait(installation.rendering())
    worker.children(" rank ")[0].kill()
    installation.wait(installation.rendered())
    [lost, ok] = installation.attempts()
    assert (lost.ending, lost.blame, lost.phase) == (Ending.WORKER_FAULT, Blame.WORKER, "render")
    assert "rank 0 was killed by SIGKILL" in lost.message
    assert ok.ending is Ending.OK
    assert worker.process.poll() is None


def test_a_stopped_rank_is_found(installation: Installation) -> None:
    """A rank that is alive but does not run is found by its missing ticks."""
    installation.submit(slow_job(frames=29))
    worker = installation.start("--tick-timeout=1")
    installation.wait(installation.rendering())
    worker.children(" rank ")[0].suspend()
    installation.wait(installation.rendered())
    assert endings(installation) == [Ending.HUNG, Ending.OK]
    assert "no sign of life" in installation.attempts()[0].message


def test_a_hung_render_is_found(installation: Installation) -> None:
    """An engine that ticks but does not move on ends as hung; the next job is rendered by a new gang."""
    installation.submit_prompts("[hang]", "a person speaks")
    worker = installation.start("--stall-floor=1")
    installation.wait(lambda: Ending.HUNG in endings(installation, 0) and installation.rendered(1)())
    assert installation.attempts(0)[0].blame is Blame.WORKER
    assert "paint 4/9" in installation.attempts(0)[0].message
    assert worker.process.poll() is None


def test_a_killed_encoder_costs_one_attempt(installation: Installation) -> None:
    """The gang outlives its encoder and renders the job again."""
    installation.submit(slow_job(frames=29))
    worker = installation.start()
    installation.wait(installation.rendering())
    installation.wait(lambda: bool(worker.children("ffmpeg")))
    [rank] = worker.children(" rank ")
    worker.children("ffmpeg")[0].kill()
    installation.wait(installation.rendered())
    assert endings(installation) == [Ending.WORKER_FAULT, Ending.OK]
    assert worker.children(" rank ") == [rank]


def test_every_failure_blames_the_right_one(installation: Installation, portrait: Path) -> None:
    """The row for its input and its output, the platform for what it lost; no object is left of what is not fit."""
    picture, gone = installation.put(portrait, "image/png"), installation.put(b"gone", "image/png")
    installation.store.delete(gone.key)
    row, platform = Blame.ROW, Blame.PLATFORM
    cases = [
        (make_job("row-0", "[fail=bad_input]", images=(picture,)), Ending.BAD_INPUT, row, "render", "cannot be used"),
        (make_job("row-1", "[black]"), Ending.BAD_OUTPUT, row, "check", "are black"),
        (make_job("row-2", "[frozen]"), Ending.BAD_OUTPUT, row, "check", "stands still"),
        (make_job("row-3", "[short]"), Ending.BAD_OUTPUT, row, "render", "gave 8 frames, expected 9"),
        (make_job("row-4", "[nan]"), Ending.BAD_OUTPUT, row, "render", "not a number"),
        (make_job("row-5", "[oom]"), Ending.OUT_OF_MEMORY, row, "render", "out of memory"),
        (make_job("row-6", images=(gone,)), Ending.INTERNAL, platform, "fetch", gone.key),
        # A render key names its weights; a worker with others must not commit under it.
        (make_job("row-7", model_digest="0" * 64), Ending.INTERNAL, platform, "fetch", "planned for engine version"),
    ]
    installation.submit(*(case[0] for case in cases))
    worker = installation.start()
    installation.wait(lambda: all(endings(installation, number) for number in range(len(cases))))
    worker.process.terminate()
    assert worker.exit_code() == WorkerExit.DRAINED
    for number, (_, ending, blame, phase, said) in enumerate(cases):
        first = installation.attempts(number)[0]
        assert (first.ending, first.blame, first.phase) == (ending, blame, phase)
        assert said in first.message
    assert installation.job(0).state is JobState.FAILED
    assert list(installation.store.list("clips/")) == []


def test_a_full_scratch_disk_blames_the_platform(installation: Installation, tmp_path: Path) -> None:
    """What does not fit is removed and blames nobody's row; a clip that fits is rendered next."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount += [f'mount -t tmpfs -o size=600k tmpfs {small} && exec "$@"', "sh"]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    big = make_job("row-0", "[noise]", width=256, height=256, num_frames=33, keep_frames=33)
    installation.submit(big, make_job("row-1"))
    installation.start(f"--scratch={small}", prefix=mount)
    installation.wait(lambda: bool(endings(installation, 0)) and installation.rendered(1)())
    first = installation.attempts(0)[0]
    assert (first.ending, first.blame) == (Ending.WORKER_FAULT, Blame.PLATFORM)
    assert "the scratch disk is full" in first.message


def test_a_gang_that_dies_while_idle_costs_nothing(installation: Installation) -> None:
    """A new gang is opened before the next job is leased."""
    worker = installation.start()
    installation.wait(lambda: bool(worker.children(" rank ")) and "gang_opened" in worker.log)
    worker.children(" rank ")[0].kill()
    installation.wait(lambda: worker.log.count("gang_opened") == 2)
    installation.submit_prompts("a person speaks")
    installation.wait(installation.rendered())
    assert endings(installation) == [Ending.OK]


# -- being told to go ----------------------------------------------------------------------------------------------


def test_sigterm_finishes_what_fits(installation: Installation) -> None:
    """With time enough the clip under way is finished, nothing more is leased, and the exit code is 0."""
    installation.submit(slow_job(0, frames=33), slow_job(1, frames=33))
    worker = installation.start("--grace=20")
    installation.wait(installation.rendering())
    worker.process.terminate()
    assert worker.exit_code() == WorkerExit.DRAINED
    states = sorted(installation.job(row).state for row in (0, 1))
    assert states == [JobState.QUEUED, JobState.RENDERED]


def test_sigterm_gives_back_what_does_not_fit(installation: Installation) -> None:
    """Without time the job is queued again, no attempt is used up, and the exit code asks for a new start."""
    installation.submit(slow_job())
    worker = installation.start("--grace=3")
    installation.wait(installation.rendering())
    worker.process.terminate()
    began = time.monotonic()
    assert worker.exit_code() == WorkerExit.PREEMPTED
    assert time.monotonic() - began < 3
    assert installation.job().state is JobState.QUEUED
    assert endings(installation) == [Ending.PREEMPTED]


def test_a_second_signal_ends_at_once(installation: Installation) -> None:
    """Even a grace period of an hour is cut short by a second signal; the job is given back all the same."""
    installation.submit(slow_job())
    worker = installation.start("--grace=3600")
    installation.wait(installation.rendering())
    worker.process.terminate()
    time.sleep(0.3)  # two signals at once may be delivered as one
    worker.process.send_signal(signal.SIGINT)
    assert worker.exit_code(5) == WorkerExit.PREEMPTED
    assert installation.job().state is JobState.QUEUED


def test_the_grace_period_ends_an_engine_that_will_not_stop(installation: Installation) -> None:
    """At the end of the grace period the gang is killed and the job given back, wherever it is."""
    installation.submit_prompts("[hang]")
    worker = installation.start("--grace=2.5")
    installation.wait(installation.rendering())
    worker.process.terminate()
    assert worker.exit_code(8) == WorkerExit.PREEMPTED
    assert endings(installation) == [Ending.PREEMPTED]


def test_a_worker_goes_with_its_parent(installation: Installation) -> None:
    """With --with-parent the parent's death counts as SIGTERM, and the ranks go, too."""
    script = textwrap.dedent("""
        import os, subprocess, sys
        worker = subprocess.Popen([sys.executable, "-m", "model_runtime", "worker", *sys.argv[1:]])
        print(worker.pid, flush=True)
        worker.wait()
    """)
    flags = ["--engine=pattern", "--model=humo-1.7B", "--with-parent"]
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *flags],
        env=os.environ | {"CALLSHEET_HOME": str(installation.home)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.stdout.close()
    installation.wait(lambda: bool(worker.children()))
    [rank] = worker.children()
    parent.kill()
    parent.wait()
    psutil.wait_procs([worker, rank], timeout=10)
    assert not worker.is_running()
    assert not rank.is_running()


# -- losing and being taken over -----------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced(installation: Installation) -> None:
    """Its lease expires, the attempt ends as lost, and another worker finishes the job; no rank outlives it."""
    installation.submit(slow_job(frames=29))
    first = installation.start("--lease-ttl=1")
    installation.wait(installation.rendering())
    [rank] = first.children(" rank ")
    first.process.kill()
    installation.start("--lease-ttl=2")
    installation.wait(installation.rendered())
    assert endings(installation) == [Ending.LOST, Ending.OK]
    assert not rank.is_running()


def test_a_worker_that_slept_through_its_lease_is_fenced(installation: Installation) -> None:
    """A supervisor that was stopped for longer than its lease finds it lost, drops the work and goes on."""
    installation.submit(slow_job(frames=29))
    first = installation.start("--lease-ttl=1")
    installation.wait(installation.rendering())
    first.process.send_signal(signal.SIGSTOP)
    installation.start("--lease-ttl=2")
    installation.wait(installation.rendered())
    first.process.send_signal(signal.SIGCONT)
    installation.wait(first.says("lease_lost"))
    assert endings(installation) == [Ending.LOST, Ending.OK]
    assert installation.attempts()[1].worker == "host-1"
    assert first.process.poll() is None


def test_cancelling_stops_a_render(installation: Installation) -> None:
    """The intent is seen at the next heartbeat, the clip is given up at its next frame, the gang lives on."""
    installation.submit(slow_job())
    worker = installation.start("--lease-ttl=2")
    installation.wait(installation.rendering())
    [rank] = worker.children(" rank ")
    installation.ledger.cancel(installation.campaign_id)
    began = time.monotonic()
    installation.wait(lambda: installation.job().state is JobState.CANCELLED)
    assert time.monotonic() - began < 2
    assert endings(installation) == [Ending.CANCELLED]
    assert worker.children(" rank ") == [rank]


def test_a_ledger_that_is_away_is_waited_for(installation: Installation) -> None:
    """A finished clip is committed when the ledger is back; the attempt is not repeated."""
    installation.submit(slow_job(frames=13))
    worker = installation.start()
    installation.wait(installation.rendering())
    with sqlite3.connect(installation.home / "ledger.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        installation.wait(worker.says("step=upload"))
        time.sleep(1.0)  # the commit is being tried now
        other.execute("ROLLBACK")
    other.close()
    installation.wait(installation.rendered())
    assert endings(installation) == [Ending.OK]


def test_a_worker_may_die_between_any_two_steps(installation: Installation) -> None:
    """Whatever step a worker dies before, or after the last, the job is rendered in the end and one clip counts."""
    count = len(Step) + 1
    installation.submit_prompts(*(f"person {number}" for number in range(count)))
    script = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from model_runtime.gang import GangPlan
        from model_runtime.phases import Step
        from model_runtime.supervisor import Supervisor, WorkerPlan
        from schemas.edge import Edge
        from schemas.settings import Settings
        from storage.places import open_ledger_of, open_store_of
        settings = Settings(home=sys.argv[1])
        gang = GangPlan(engine="pattern", model="humo-1.7B")

        def work_until(*point):
            plan = WorkerPlan(name="-".join(point), scratch=Path(settings.home) / "scratch", lease_ttl_s=2.0, gang=gang)
            ledger, store = open_ledger_of(settings), open_store_of(settings)
            listener = lambda *at: at == point and os.kill(os.getpid(), 9)
            Supervisor(plan, ledger=ledger, store=store, listener=listener).run()

        for point in [*((step, Edge.BEFORE) for step in Step), (Step.COMMIT, Edge.AFTER)]:
            if not (pid := os.fork()):
                work_until(*point)
            assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 9, point
    """)
    command = [sys.executable, "-c", script, str(installation.home)]
    subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL, timeout=120, check=True)
    installation.start("--lease-ttl=2")
    installation.wait(lambda: all(installation.rendered(row)() for row in range(count)), timeout_s=60)
    for row in range(count):
        assert endings(installation, row).count(Ending.OK) == 1
        assert set(endings(installation, row)) <= {Ending.OK, Ending.LOST}


# -- starting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--engine=nobody"], "unknown engine 'nobody'; known: animatic"),
        (["--lease-ttl=-1", "--ranks=0"], "lease_ttl_s (from --lease-ttl-s)"),
    ],
)
def test_a_bad_configuration_says_so_and_is_not_tried_again(
    installation: Installation, flags: list[str], said: str
) -> None:
    """Exit code 78; the last line of the log says what is wrong and how to mend it."""
    worker = installation.start(*flags)
    assert worker.exit_code() == WorkerExit.BAD_CONFIGURATION
    [last] = [line for line in worker.log.splitlines() if line][-1:]
    assert said in last
    assert "fix:" in last


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CALLSHEET_STORE_ULR", "x", b"did you mean CALLSHEET_STORE_URL?"),
        ("CALLSHEET_FFMPEG", "no-such-program", b"which is no program"),
    ],
)
def test_a_bad_variable_is_a_bad_configuration(
    installation: Installation, variable: str, value: str, said: bytes
) -> None:
    """A misspelt setting or a missing program is found before anything is leased."""
    done = subprocess.run(
        [sys.executable, "-m", "model_runtime", "worker", "--engine=pattern", "--model=humo-1.7B"],
        env=os.environ | {"CALLSHEET_HOME": str(installation.home), variable: value},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == WorkerExit.BAD_CONFIGURATION
    assert said in done.stderr


def test_a_gang_that_does_not_open_makes_the_node_sick(installation: Installation) -> None:
    """Three failed starts in a row: exit code 70, and no job was ever leased for it."""
    installation.submit_prompts("a person speaks")
    worker = installation.start("--open-timeout=0")
    assert worker.exit_code() == WorkerExit.SICK
    assert installation.attempts() == ()


def test_usage_is_shown() -> None:
    """Every command has a line of help; a wrong one ends with 2."""
    run = [sys.executable, "-m", "model_runtime"]
    shown = subprocess.run([*run, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "worker" in shown.stdout
    assert subprocess.run([*run, "dance"], cwd=ROOT, capture_output=True, check=False).returncode == 2
