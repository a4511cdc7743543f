"""One contract for every executor of the CPU stages: inline, processes, Dask."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.stages.executor import DaskExecutor, Executor, InlineExecutor, ProcessExecutor, make_executor, run_all
from schemas.errors import InvalidMedia, Retryable
from schemas.problem import Code
from schemas.settings import Settings


@pytest.fixture(params=["inline", "process", "dask"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    made = make_executor(Settings(executor=request.param, stage_workers=2))
    yield made
    made.close()


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise InvalidMedia(Code.IMAGE_CORRUPT, f"picture {number} cannot be decoded", fix="save it again")


def die_once(marker: str) -> str:
    """Kills its own process the first time it is called with this marker."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


def die_always(marker: str) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return marker


def test_every_item_gets_its_result(executor: Executor) -> None:
    """More items than the window holds all come back, each with its own result."""
    assert dict(run_all(executor, square, range(50))) == {n: n * n for n in range(50)}


def test_an_error_crosses_the_border_whole(executor: Executor) -> None:
    """Class, code, message and fix of an error are what the task raised."""
    with pytest.raises(InvalidMedia) as caught:
        list(run_all(executor, refuse, [7]))
    assert (caught.value.code, caught.value.message) == (Code.IMAGE_CORRUPT, "picture 7 cannot be decoded")
    assert caught.value.fix == "save it again"


def test_nothing_to_do_is_done(executor: Executor) -> None:
    """No items give no results and no error."""
    assert list(run_all(executor, square, [])) == []


@pytest.mark.parametrize("kind", [ProcessExecutor, DaskExecutor])
def test_a_killed_process_costs_nothing(kind: type[ProcessExecutor] | type[DaskExecutor], tmp_path: Path) -> None:
    """A process that is SIGKILLed in the middle of a task is replaced, and all tasks finish."""
    executor = kind(processes=2)
    try:
        markers = [str(tmp_path / f"m{n}") for n in range(2)]
        assert dict(run_all(executor, die_once, markers)) == dict.fromkeys(markers, "lived")
        assert dict(run_all(executor, square, range(8))) == {n: n * n for n in range(8)}
    finally:
        executor.close()


def test_a_task_that_kills_every_process_is_given_up() -> None:
    """After a bounded number of tries the caller gets Retryable, not an endless loop."""
    executor = ProcessExecutor(1)
    began = time.monotonic()
    try:
        with pytest.raises(Retryable):
            list(run_all(executor, die_always, ["x"]))
    finally:
        executor.close()
    assert time.monotonic() - began < 60


def test_the_window_is_bounded() -> None:
    """Items are drawn only as results come: a sheet of any length waits in the iterator, not in memory."""
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for n in range(100):
            drawn.append(n)
            yield n

    results = run_all(InlineExecutor(), square, items())
    next(results)
    assert len(drawn) <= 8
    assert sum(1 for _ in results) == 99


def test_processes_go_with_a_parent_that_is_killed() -> None:
    """A flow that dies of SIGKILL leaves no process behind that would wait for work for ever."""
    script = (
        "import os, sys; from flows.stages.executor import ProcessExecutor\n"
        "if __name__ == '__main__':\n"
        "    print(ProcessExecutor(1).submit(os.getpid).result(), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
