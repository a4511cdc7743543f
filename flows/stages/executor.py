"""Where the short CPU stages run: inline, in processes, or on Dask. One protocol, one contract test.

A task is a module-level function with picklable arguments. It is pure and idempotent: when its process dies it is
simply submitted again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from schemas.errors import Retryable
from schemas.settings import Settings

Item = TypeVar("Item")
Result = TypeVar("Result")

RESUBMITS = 2
"""How often a task is submitted again after its process died under it."""


class TaskDied(Retryable):
    """The process of a task died under it."""


class Task(Protocol):
    """One submitted call."""

    def done(self) -> bool: ...

    def result(self) -> Any:
        """The function's result; raises what it raised, or TaskDied when its process died."""
        ...


class Executor(Protocol):
    @property
    def slots(self) -> int:
        """How many tasks run at once."""
        ...

    def submit(self, function: Callable[..., Any], *args: Any) -> Task: ...

    def close(self) -> None:
        """Drop what has not begun and end the processes."""
        ...


class InlineExecutor:
    """Runs each task at once, in this process."""

    slots = 1

    def submit(self, function: Callable[..., Any], *args: Any) -> Task:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(error)
        return future

    def close(self) -> None:
        pass


class _PoolTask:
    def __init__(self, future: Future[Any], forget_pool: Callable[[], None]) -> None:
        self._future = future
        self._forget_pool = forget_pool

    def done(self) -> bool:
        return self._future.done()

    def result(self) -> Any:
        try:
            return self._future.result()
        except BrokenProcessPool as error:
            self._forget_pool()
            raise TaskDied("a process of the CPU stages died in the middle of a task") from error


class ProcessExecutor:
    """A pool of spawned processes; when one dies the pool is replaced and its tasks answer `TaskDied`."""

    def __init__(self, processes: int = 0) -> None:
        self.slots = processes or max(1, os.cpu_count() or 1)
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., Any], *args: Any) -> Task:
        try:
            return self._submit(function, *args)
        except BrokenProcessPool:
            self._pool = None
            return self._submit(function, *args)

    def _submit(self, function: Callable[..., Any], *args: Any) -> Task:
        if self._pool is None:
            # Spawned, not forked: the parent holds threads, database connections and signal handlers.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(max_workers=self.slots, mp_context=context, initializer=_quiet_start)
        pool = self._pool

        def forget() -> None:
            if self._pool is pool:
                self._pool = None

        return _PoolTask(pool.submit(function, *args), forget)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _quiet_start() -> None:
    """Ctrl-C is the parent's to answer: a pool process that prints a traceback for it helps nobody."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its pool, whose processes would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class _DaskTask:
    def __init__(self, future: Any) -> None:
        self._future = future

    def done(self) -> bool:
        return bool(self._future.done())

    def result(self) -> Any:
        from distributed.scheduler import KilledWorker

        try:
            return self._future.result()
        except KilledWorker as error:
            raise TaskDied("the Dask worker of a task died under it") from error


class DaskExecutor:
    """A Dask cluster: the one at `scheduler`, or a LocalCluster of this machine."""

    def __init__(self, scheduler: str = "", processes: int = 0) -> None:
        from distributed import Client, LocalCluster

        self._cluster = None
        if scheduler:
            self._client = Client(scheduler, set_as_default=False)
        else:
            self._cluster = LocalCluster(
                n_workers=processes or max(1, os.cpu_count() or 1),
                threads_per_worker=1,
                dashboard_address=None,
                host="127.0.0.1",
            )
            self._client = Client(self._cluster, set_as_default=False)

    @property
    def slots(self) -> int:
        threads = sum(self._client.nthreads().values())
        return max(1, int(threads))

    def submit(self, function: Callable[..., Any], *args: Any) -> Task:
        return _DaskTask(self._client.submit(function, *args, pure=False))

    def close(self) -> None:
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def make_executor(settings: Settings) -> Executor:
    """The executor that the settings name."""
    if settings.executor == "inline":
        return InlineExecutor()
    if settings.executor == "dask":
        return DaskExecutor(settings.dask_scheduler, settings.stage_workers)
    return ProcessExecutor(settings.stage_workers)


def run_all(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, poll_s: float = 0.01
) -> Iterator[tuple[Item, Result]]:
    """Run `function` over `items` with a bounded window of submitted tasks; results in order of completion.

    Raises:
        Retryable: a task's process died more than RESUBMITS times.
        Exception: whatever a task raised.
    """
    import time

    window = 4 * executor.slots
    waiting = iter(items)
    running: list[tuple[Item, Task, int]] = []
    exhausted = False
    while True:
        while not exhausted and len(running) < window:
            try:
                item = next(waiting)
            except StopIteration:
                exhausted = True
                break
            running.append((item, executor.submit(function, item), 0))
        if not running:
            return
        done = [entry for entry in running if entry[1].done()]
        if not done:
            time.sleep(poll_s)
            continue
        running = [entry for entry in running if entry not in done]
        for item, task, tries in done:
            try:
                result = task.result()
            except Retryable:
                if tries >= RESUBMITS:
                    raise
                running.append((item, executor.submit(function, item), tries + 1))
            else:
                yield item, result
