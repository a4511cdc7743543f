"""The flow that evaluates a model on clips of the procedural world. Import only after `prefect_home.use_prefect`."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from flows.evaluation.figures import Result, result_of
from flows.evaluation.plan import Shard, runs, shards
from flows.evaluation.plots import draw_plots
from flows.evaluation.process import Bench, store_folder
from flows.evaluation.table import cell, metric_names, report
from flows.where import settings_now
from schemas.errors import CallsheetError
from schemas.evaluation import Asked, ShardScores
from schemas.mode import Mode

Watch = Callable[[str, int, int], None]
"""Told what is done: phase, clips, clips in all."""

LOOKING_ON: ContextVar[Sequence[Watch]] = ContextVar("LOOKING_ON", default=())
"""Observers of this process, such as the terminal's bars: no parameter of a flow, which must be JSON."""

_TELL_EVERY_S = 2.0


@flow(name="evaluate", flow_run_name="evaluate {model}", persist_result=False)
def evaluate(
    asked: dict[str, Any],
    out: Annotated[str, Field(min_length=1)],
    *,
    model: str = "",  # noqa: ARG001 - names the run
    modes: list[Mode] | None = None,
    controls: bool = False,
    sweep: dict[str, list[float]] | None = None,
    processes: Annotated[int, Field(ge=1, le=64)] = 1,
    shard: Annotated[int, Field(ge=1)] = 50,
    gate_clips: int | None = None,
) -> dict[str, str]:
    """Render a suite, read it, and say how good it is; the files that say so, by what they are.

    Args:
        asked: What is judged, on which clips: the fields of `schemas.evaluation.Asked`
        out: Folder for results, report and plots, on the machine that runs the flow
        model: What the run is called
        modes: Other modes to evaluate besides
        controls: Also render without text, with another reference, with another speech
        sweep: By guidance scale (text, audio, image) the values to try, all else the same
        processes: Shards that run at the same time
        shard: Clips of one process
        gate_clips: True clips that the reader's gate is taken on; its own number when left empty
    """
    _without_tracebacks()
    settings = settings_now()
    wanted = runs(Asked.from_json(asked), modes=modes or (), controls=controls, sweep=sweep)
    bench = Bench(settings=settings, store=store_folder(settings), processes=processes, gate_clips=gate_clips)
    work = [one for run in wanted for one in shards(run, size=shard)]
    with _Progress(work) as progress:
        answers = _work(bench, work, progress, processes)
    results = [result_of([answers[one] for one in work if one.asked == run]) for run in wanted]
    files = write(results, Path(out))
    _show(results, files)
    get_run_logger().info("%s", files["report"])
    return files


def _without_tracebacks() -> None:
    """An error that says how to mend it is told in its words alone."""

    def shorten(record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], CallsheetError):
            record.exc_info = None
        return True

    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logging.getLogger(name).addFilter(shorten)


@task(name="shard", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def run_shard(name: str, bench: Bench, shard: Shard, progress: _Progress) -> ShardScores:  # noqa: ARG001 - names the run
    """One process's clips, rendered and read."""
    return bench.run(shard, lambda phase, done, total: progress.tell(shard, phase, done, total))


def _work(bench: Bench, work: Sequence[Shard], progress: _Progress, processes: int) -> dict[Shard, ShardScores]:
    answers: dict[Shard, ShardScores] = {}
    with ThreadPoolExecutor(processes, thread_name_prefix="shard") as pool:
        futures: dict[Future[ShardScores], Shard] = {
            # Each thread sees the flow that it works for.
            pool.submit(copy_context().run, run_shard, one.name, bench, one, progress): one
            for one in work
        }
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, _TELL_EVERY_S, FIRST_COMPLETED)
                answers |= {futures[future]: future.result() for future in done}
                progress.show()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            bench.stop()
            raise
    return answers


class _Progress:
    """How many clips are rendered and read, for Prefect and whoever looks on. Any thread may tell."""

    def __init__(self, work: Sequence[Shard]) -> None:
        self._total = sum(one.amount for one in work)
        self._done: dict[tuple[Shard, str], int] = {}
        self._lock = threading.Lock()
        self._watching = LOOKING_ON.get()
        self._artifact: Any = None

    def __enter__(self) -> _Progress:
        self._artifact = create_progress_artifact(0.0, key="evaluation-progress", description="clips judged")
        return self

    def __exit__(self, *_: object) -> None:
        self.show()

    def tell(self, shard: Shard, phase: str, done: int, _total: int) -> None:
        with self._lock:
            self._done[shard, phase] = done
            counts = {key: sum(n for (_, p), n in self._done.items() if p == key) for key in ("render", "read")}
        for watch in self._watching:
            watch("clips rendered" if phase == "render" else "clips read", counts[phase], self._total)

    def show(self) -> None:
        """To Prefect; from the flow's own thread."""
        update_progress_artifact(self._artifact, self.percent)

    @property
    def percent(self) -> float:
        return 100.0 * sum(self._done.values()) / max(1, 2 * self._total)


def write(results: Sequence[Result], out: Path) -> dict[str, str]:
    """Results, report and plots; paths by what they are.

    Raises:
        InvalidInput: matplotlib is not installed.
    """
    folder = out / "results"
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for result in results:
        path = folder / f"{file_name(result.asked)}.json"
        path.write_text(json.dumps(result.as_json(), indent=1, allow_nan=False), encoding="utf-8")
        files[result.asked.title] = str(path)
    plots = draw_plots(results, out)
    page = out / "report.md"
    page.write_text(report(results, [path.name for path in plots]), encoding="utf-8")
    return files | {"report": str(page)} | {path.stem: str(path) for path in plots}


def file_name(asked: Asked) -> str:
    """`humo-small_TIA_no-text`: a title that every file system takes."""
    return "".join(c if c.isalnum() or c in "-." else "_" for c in asked.title.replace(", ", "_")).strip("_")


def _show(results: Sequence[Result], files: dict[str, str]) -> None:
    """In Prefect: the report, the base's figures as a table, the plots as links."""
    page = Path(files["report"])
    create_markdown_artifact(page.read_text(encoding="utf-8"), key="evaluation-report", description=str(page))
    base = results[0]
    rows = [{"metric": name, "figure": cell(base.figures.get(name))} for name in metric_names([base])]
    create_table_artifact(rows, key="evaluation-figures", description=base.asked.title)
    for name in ("metrics", "lags", "guidance"):
        if name in files:
            link = Path(files[name]).absolute().as_uri()
            create_image_artifact(link, key=f"evaluation-{name}", description=f"{base.asked.title}: {name}")
