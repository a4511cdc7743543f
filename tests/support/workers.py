"""A whole installation in a folder, and real worker processes on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from schemas.attempt import Attempt
from schemas.campaign import CampaignSettings
from schemas.job import RenderJob
from schemas.mode import Mode
from schemas.object_ref import ObjectRef
from schemas.settings import Settings
from schemas.shot import Shot
from schemas.states import CampaignState, JobState
from schemas.status import JobStatus
from schemas.submission import PlannedRow, Submission
from storage.ledger.protocol import Ledger
from storage.objects.protocol import ObjectStore
from storage.objects.verified import put_input
from storage.places import open_ledger_of, open_store_of
from tests.support.requests import make_job

ROOT = Path(__file__).parents[2]


class Worker:
    """A running `python -m model_runtime worker`; its log is kept."""

    def __init__(self, home: Path, number: int, flags: Sequence[str], prefix: Sequence[str] = ()) -> None:
        self.name = f"host-{number}"
        self._log_path = home / f"worker-{number}.log"
        environ = {key: value for key, value in os.environ.items() if not key.startswith("CALLSHEET_")}
        every = ["--engine=pattern", "--model=humo-1.7B", f"--name={self.name}", "--lease-ttl=20", *flags]
        with self._log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "model_runtime", "worker", *every],
                env=environ | {"CALLSHEET_HOME": str(home), "CALLSHEET_LOG_LEVEL": "DEBUG"},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    def children(self, mark: str) -> list[psutil.Process]:
        """Living child processes whose command line holds `mark`."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                with suppress(psutil.NoSuchProcess):
                    if child.status() != psutil.STATUS_ZOMBIE and mark in " ".join(child.cmdline()):
                        found.append(child)
        return found

    def exit_code(self, timeout_s: float = 30) -> int:
        return self.process.wait(timeout_s)

    def says(self, what: str) -> Callable[[], bool]:
        return lambda: what in self.log

    def kill(self) -> None:
        for child in self.children(""):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Installation:
    """SQLite ledger, directory store and scratch under one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings = Settings(home=str(home))
        self.ledger: Ledger = open_ledger_of(self.settings)
        self.store: ObjectStore = open_store_of(self.settings)
        self.campaign_id = ""
        self._workers: list[Worker] = []

    def put(self, source: Path | bytes, media_type: str) -> ObjectRef:
        return put_input(self.store, source, media_type)

    def submit(self, *jobs: RenderJob, engine: str = "pattern", ranks: int = 1) -> str:
        """A running campaign in which every job is the only clip of its row."""
        rows = [_row(position, job) for position, job in enumerate(jobs)]
        settings = CampaignSettings(model="humo-1.7B", engine=engine, ranks=ranks)
        submission = Submission(name="test", settings=settings, manifest=None, rows=rows)
        self.campaign_id = self.ledger.submit(submission).campaign_id
        self.ledger.set_state(self.campaign_id, CampaignState.RUNNING)
        return self.campaign_id

    def submit_prompts(self, *prompts: str) -> str:
        return self.submit(*(make_job(f"row-{number}", prompt) for number, prompt in enumerate(prompts)))

    def start(self, *flags: str, prefix: Sequence[str] = ()) -> Worker:
        self._workers.append(Worker(self.home, len(self._workers), flags, prefix))
        return self._workers[-1]

    def job(self, row: int = 0) -> JobStatus:
        [job] = self.ledger.explain(self.campaign_id, f"row-{row}").jobs
        return job

    def attempts(self, row: int = 0) -> tuple[Attempt, ...]:
        return self.ledger.explain(self.campaign_id, f"row-{row}").attempts

    def rendered(self, row: int = 0) -> Callable[[], bool]:
        return lambda: self.job(row).state is JobState.RENDERED

    def rendering(self, row: int = 0) -> Callable[[], bool]:
        """A condition: frames of that row's clip are being made."""
        return lambda: any(f"row-{row} " in line and "step=fetch" in line for line in self._log_lines())

    def _log_lines(self) -> list[str]:
        return [line for worker in self._workers for line in worker.log.splitlines()]

    def wait(self, condition: Callable[[], bool], *, timeout_s: float = 30) -> None:
        """Poll until it holds; the workers' logs are shown when it never does."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError("it never came to be; the logs:\n" + "\n".join(self._log_lines()))
            time.sleep(0.05)

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self.ledger.close()


def _row(position: int, job: RenderJob) -> PlannedRow:
    request = job.request
    shot = Shot(
        row_id=job.row_id,
        video=job.row_id,
        position=0,
        mode=Mode(request.mode),
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        seed=request.seed,
        width=request.width,
        height=request.height,
        frames=request.keep_frames,
    )
    return PlannedRow(
        row_id=job.row_id,
        line=position + 2,
        position=position,
        byte_start=0,
        byte_end=0,
        video=job.row_id,
        shot=shot,
        jobs=(job,),
    )


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    found = Installation(tmp_path / "home")
    yield found
    found.close()
