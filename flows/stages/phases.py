"""The steps of one join, in order and in one place, whichever process they run in.

The flow and the join tell a listener before and after every step; a test that ends a process there covers every
point at which a join can be cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from schemas.edge import Edge


class JoinStep(StrEnum):
    """What happens to one video once its clips are rendered, in this order."""

    CLAIM = "claim"
    FETCH = "fetch"
    JOIN = "join"
    CHECK = "check"
    UPLOAD = "upload"
    CHECKING = "checking"
    PUBLISH = "publish"


STAGE_STEPS = frozenset({JoinStep.FETCH, JoinStep.JOIN, JoinStep.CHECK, JoinStep.UPLOAD})
"""Those that an executor runs, in another process or on another machine; the flow does the others itself."""

JoinListener = Callable[[JoinStep, Edge], None]
"""It travels with the join: what an executor can pickle."""


def silent(step: JoinStep, edge: Edge) -> None:
    """The listener of a flow that nobody listens to."""
