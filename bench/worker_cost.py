"""What a worker's supervisor spends on a clip beyond engine, ffmpeg, frames and output checks.

The supervisor's processor time over some clips, less the processor time of doing just this alone: start an encoder,
move the clip's frames from a pipe into it, wait for it, and check the file.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from bench.bench import Bench
from bench.figure import Figure, Size, at_most
from bench.progress import say
from media.encode import ClipEncoder
from media.output_gate import check_clip
from schemas.job import RenderJob, RenderRequest
from schemas.model_spec import FPS
from schemas.states import JobState
from tests.support.requests import make_job, make_request
from tests.support.workers import Installation, Worker


@dataclass(frozen=True, kw_only=True)
class Amount:
    rounds: int
    clips: int


AMOUNTS = {
    Size.FULL: Amount(rounds=5, clips=40),
    Size.QUICK: Amount(rounds=2, clips=20),
    Size.TINY: Amount(rounds=1, clips=2),
}


def run(bench: Bench) -> Iterator[Figure]:
    amount = AMOUNTS[bench.size]
    home = Installation(bench.folder / "worker")
    try:
        worker = home.start("--log-level=INFO")
        _render_some(home, worker, "warm", 2)
        whole, alone = [], []
        for number in range(amount.rounds):
            say(f"worker: round {number + 1} of {amount.rounds}")
            whole.append(_render_some(home, worker, f"round {number}", amount.clips) / amount.clips)
            alone.append(_encode_some(bench.folder, amount.clips) / amount.clips)
    finally:
        home.close()
    beyond = median(w - a for w, a in zip(whole, alone, strict=True))
    yield Figure(
        name="worker.cpu_ms_per_clip",
        value=1e3 * beyond,
        unit="ms of processor time",
        target=at_most(10),
        meaning="a supervisor's own processor time per clip, beyond ffmpeg, frames and output checks",
        parts={"supervisor_ms": 1e3 * median(whole), "encode_and_check_alone_ms": 1e3 * median(alone)},
    )


def _render_some(home: Installation, worker: Worker, name: str, clips: int) -> float:
    """Processor seconds that the supervisor spent on so many new clips."""
    supervisor = psutil.Process(worker.process.pid)
    before = _cpu_s(supervisor)
    campaign_id = home.submit(*_jobs(name, clips))
    deadline = time.monotonic() + 120
    while home.ledger.counts(campaign_id).jobs.get(JobState.RENDERED, 0) < clips:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the worker did not render {clips} clips; its log:\n{worker.log}")
        time.sleep(0.1)
    return _cpu_s(supervisor) - before


def _jobs(name: str, clips: int) -> list[RenderJob]:
    return [make_job(f"row-{number}", f"{name}, clip {number}") for number in range(clips)]


def _cpu_s(process: psutil.Process) -> float:
    """Of the process itself, not of its children."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _encode_some(folder: Path, clips: int) -> float:
    """Processor seconds of this process for encoding and checking so many clips; their frames come from another one."""
    request = make_request()
    frames = folder / "frames.rgb"
    frames.write_bytes(b"".join(_frame(request, index) for index in range(request.num_frames)))
    feed = ["cat", *([str(frames)] * clips)]
    with subprocess.Popen(feed, stdout=subprocess.PIPE, bufsize=0) as feeder:
        assert feeder.stdout is not None
        before = time.process_time()
        for _ in range(clips):
            _encode(folder / "alone.mp4", request, feeder.stdout.fileno())
        return time.process_time() - before


def _frame(request: RenderRequest, index: int) -> bytes:
    across = np.arange(request.width)[None, :] + np.arange(request.height)[:, None]
    stripes = ((across + index) * 8 % 256).astype(np.uint8)
    return np.repeat(stripes[..., None], 3, axis=2).tobytes()


def _encode(path: Path, request: RenderRequest, pipe: int) -> None:
    size = request.width * request.height * 3
    buffer = memoryview(bytearray(size))
    with ClipEncoder(path, width=request.width, height=request.height, fps=FPS, timeout_s=60) as encoder:
        for index in range(request.num_frames):
            filled = 0
            while filled < size:
                filled += os.readv(pipe, [buffer[filled:]])
            if index < request.keep_frames:
                encoder.write(buffer)
        encoder.finish()
    check_clip(
        path, frames=request.keep_frames, width=request.width, height=request.height, fps=FPS, frozen_allowed=False
    )
