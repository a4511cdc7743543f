"""The flow that makes a training set: the paper's three stages over videos or over the procedural world.

Import this module only after `flows.prefect_home.use_prefect`. docs/dataset.md is its page.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelled as CancelledState
from prefect.states import Completed, Failed
from pydantic import Field

from flows.dataset_build import story
from flows.dataset_build.build import Build, Cancelled
from flows.dataset_build.prefect_view import DatasetView
from flows.dataset_build.progress import Onlooker
from flows.where import settings_now
from schemas.dataset import read_order
from schemas.errors import CallsheetError

LOOKING_ON: ContextVar[Sequence[Onlooker]] = ContextVar("LOOKING_ON", default=())
"""Onlookers of this process, such as the terminal's progress bar: no parameter of a flow, which must be JSON."""
FAILURE: ContextVar[list[CallsheetError] | None] = ContextVar("FAILURE", default=None)
"""Where a caller in this process wants the error itself, not only a failed state."""


def _name_of_build() -> str:
    order: Any = this_run.parameters.get("order")
    return f"dataset {order.get('name', '') if isinstance(order, dict) else ''}".strip()


@flow(name="build-dataset", flow_run_name=_name_of_build, persist_result=False)
def build_dataset(
    order: dict[str, Any],
    out: Annotated[str, Field(min_length=1)],
    jobs: Annotated[int, Field(ge=1, le=64)] = 1,
    whole: bool = True,
) -> State[Any]:
    """Make what is missing of a dataset. Run again it goes on where it was; when nothing is missing it does nothing.

    Args:
        order: What is wanted, as docs/dataset.md lists it
        out: Folder of the dataset on the machine that runs the flow
        jobs: Processes that make shards side by side
        whole: Read every shard that is there before it is believed
    """
    settings = settings_now()
    wanted = read_order({"weights": str(Path(settings.weights).resolve() / "dataset"), **order})
    logger = get_run_logger()
    try:
        with DatasetView(wanted, out, settings) as view:
            build = Build(
                order=wanted,
                out=Path(out),
                jobs=jobs,
                whole=whole,
                onlookers=(view, *LOOKING_ON.get()),
                is_cancelled=view.is_cancelled,
            )
            manifest = build.run()
    except CallsheetError as error:
        kept = FAILURE.get()
        if kept is not None:
            kept.append(error)
        logger.error("%s", error)  # noqa: TRY400 - what is wrong is in the message; a traceback of ours adds nothing
        if isinstance(error, Cancelled):
            return _said_once(CancelledState(message=error.message))
        return _said_once(Failed(message=error.message))
    for row in story.rows(story.finished(build.progress)):
        logger.info("stage %s, %s: %s came, %s kept, %s dropped; %s", *row)
    return Completed(message=f"{manifest['samples']} samples in {len(manifest['shards'])} shards")


def _said_once(state: State[Any]) -> State[Any]:
    """A final state that is not Completed is an answer, not a fault: no traceback ends the story."""
    runs = logging.getLogger("prefect.flow_runs")
    runs.addFilter(lambda record: "exited with unexpected exception" not in record.getMessage())
    return state
