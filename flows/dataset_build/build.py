"""The loop that brings a dataset to its end. It needs no Prefect: what is done is what stands on the disk."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from flows.dataset_build.maker import Maker, MakerDied, MakerStopped
from flows.dataset_build.progress import Onlooker, Progress, ShardState, StepProgress
from schemas.dataset import DatasetOrder, Step
from schemas.errors import CallsheetError, Permanent, Refused, Retryable

log = logging.getLogger("callsheet.dataset")

TRIES = 2
"""A process that dies over a shard may have been killed; over the same shard a fresh one is not."""
_LOOK_S = 0.3


class Cancelled(CallsheetError):
    """Somebody asked for the build to stop; what is made stays."""

    exit_code = 130


@dataclass(kw_only=True)
class Build:
    """One run over one dataset's folder."""

    order: DatasetOrder
    out: Path
    jobs: int = 1
    """Processes that make shards side by side; each loads the adapters' models."""
    whole: bool = True
    """Shards that are there are read as a whole before they are believed; otherwise only their size is looked at."""
    onlookers: Sequence[Onlooker] = ()
    is_cancelled: Callable[[], bool] = lambda: False
    progress: Progress = field(default_factory=Progress)
    _stop: threading.Event = field(default_factory=threading.Event)
    _look_at: float = 0.0

    def run(self) -> Mapping[str, Any]:
        """Make what is missing, step after step; the last step's manifest.

        Raises:
            InvalidInput: the order cannot be carried out, or a step kept nothing: it says what was dropped by what.
            Refused: another build is at work in this folder.
            Retryable: the disk does not take it, or processes die.
            Cancelled: somebody asked for it.
        """
        with _alone(self.out), ExitStack() as stack:
            makers = [Maker(self.out / "makers.log", stopped=self._stop.is_set) for _ in range(self.jobs)]
            for maker in makers:
                stack.callback(maker.close)
            # Before the makers are closed, their threads must stop waiting for them.
            stack.callback(self._stop.set)
            makers[0].open(self.order, self.out)
            manifest: Mapping[str, Any] = {}
            for step in Step:
                manifest = self._step(step, makers)
            return manifest

    def _step(self, step: Step, makers: list[Maker]) -> Mapping[str, Any]:
        mine = StepProgress(step=step)
        with self.progress.lock:
            self.progress.steps[step] = mine
        try:
            found = makers[0].ask({"do": "plan", "step": step, "whole": self.whole}, partial(self._checked, mine))
            with self.progress.lock:
                for one in found:
                    is_here = one["state"] == "here"
                    mine.shards[one["name"]] = ShardState.HERE if is_here else ShardState.WAITING
                    mine.damaged += one["state"] == "damaged"
            if mine.damaged:
                log.warning("%s: %d damaged shards are made again", step, mine.damaged)
            self._make(mine, [one["name"] for one in found if one["state"] != "here"], makers)
            manifest: Mapping[str, Any] = makers[0].ask(
                {"do": "finish", "step": step, "shards": [one["name"] for one in found]}, lambda _done, _of: None
            )
        except CallsheetError as error:
            with self.progress.lock:
                mine.message = error.message
            self._look()
            raise
        with self.progress.lock:
            mine.manifest = manifest
        self._look()
        return manifest

    def _make(self, mine: StepProgress, names: Sequence[str], makers: list[Maker]) -> None:
        queue: SimpleQueue[str] = SimpleQueue()
        for name in names:
            queue.put(name)
        lanes = makers[: max(1, min(len(makers), len(names)))]
        with ThreadPoolExecutor(len(lanes), thread_name_prefix="maker") as pool:
            running: set[Future[None]] = {pool.submit(self._lane, mine, queue, maker) for maker in lanes}
            try:
                while running:
                    done, running = wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    self._look()
                    self._obey()
            except BaseException:
                # The pool waits for its threads on the way out; they see this and give up.
                self._stop.set()
                raise

    def _lane(self, mine: StepProgress, queue: SimpleQueue[str], maker: Maker) -> None:
        while not self._stop.is_set():
            try:
                name = queue.get_nowait()
            except Empty:
                return
            try:
                self._shard(mine, name, maker)
            except MakerStopped:
                return
            except CallsheetError:
                self._mark(mine, name, ShardState.FAILED)
                raise

    def _shard(self, mine: StepProgress, name: str, maker: Maker) -> None:
        def tick(done: int, of: int) -> None:
            with self.progress.lock:
                mine.at_work[name] = (done, of)

        self._mark(mine, name, ShardState.MAKING)
        for attempt in range(1, TRIES + 1):
            try:
                if maker.pid is None:
                    maker.open(self.order, self.out)
                counts = maker.ask({"do": "make", "step": mine.step, "shard": name}, tick)
            except MakerDied as error:
                maker.close()
                if attempt == TRIES:
                    raise Permanent(
                        f"shard {name[:16]}... of step {mine.step} ended its process {TRIES} times: {error.message}",
                        fix=error.fix,
                    ) from None
                log.warning("%s; shard %s... is tried again", error.message, name[:16])
            else:
                with self.progress.lock:
                    mine.counts[name] = counts
                self._mark(mine, name, ShardState.MADE)
                return

    def _mark(self, mine: StepProgress, name: str, state: ShardState) -> None:
        with self.progress.lock:
            mine.shards[name] = state
            mine.at_work.pop(name, None)

    def _checked(self, mine: StepProgress, done: int, of: int) -> None:
        with self.progress.lock:
            mine.checked = (done, of)
        if time.monotonic() >= self._look_at:
            self._look()
            self._obey()

    def _look(self) -> None:
        self._look_at = time.monotonic() + _LOOK_S
        for onlooker in self.onlookers:
            try:
                onlooker.look(self.progress)
            except Exception:
                log.exception("somebody who looks on failed; the build goes on")

    def _obey(self) -> None:
        if self.is_cancelled():
            raise Cancelled("the build was cancelled; finished shards are kept", fix="run the same command to go on")


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """The right to build in `out`, which is made; it ends with the process, however that ends.

    Raises:
        Refused: another process has it.
        Retryable: the folder cannot be made or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = os.open(out / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Retryable(
            f"{out} cannot be written: {error.strerror}", fix="give another --out, or permission to write there"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(
                f"another build is at work in {out}", fix="wait for it, or end it; or give another --out"
            ) from None
        yield
    finally:
        os.close(lock)


def verify(out: Path, tick: Callable[[int, int], None]) -> Mapping[str, Any]:
    """Read every shard of a finished dataset; how many there are, and what is wrong with which.

    Raises:
        InvalidInput: there is no finished dataset.
    """
    log_path = out / "makers.log"
    maker = Maker(log_path if os.access(out, os.W_OK) else Path(os.devnull), stopped=lambda: False)
    try:
        maker.start()
        answer: Mapping[str, Any] = maker.ask({"do": "verify", "out": str(out)}, tick)
        return answer
    finally:
        maker.close()
