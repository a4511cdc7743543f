"""What a submit puts into the ledger, and what the ledger says it changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.campaign import CampaignSettings, ManifestRef
from schemas.job import RenderJob
from schemas.problem import RowProblem
from schemas.shot import Shot


class PlannedRow(NamedTuple):
    """One record of the manifest: either a shot with its jobs, or the problems that keep it out.

    A tuple, as there is one for every row.
    """

    row_id: str
    """As the author wrote it; rows whose id is missing or repeated get `_line-N`."""
    line: int
    position: int
    """0-based order in the manifest."""
    byte_start: int
    byte_end: int
    """The record's bytes in the stored manifest, its line end not included."""
    video: str
    shot: Shot | None = None
    jobs: tuple[RenderJob, ...] = ()
    problems: tuple[RowProblem, ...] = ()

    @property
    def is_valid(self) -> bool:
        return self.shot is not None and not self.problems


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A whole manifest, ready for one transaction. `rows` is in manifest order."""

    name: str
    settings: CampaignSettings
    manifest: ManifestRef | None
    rows: Iterable[PlannedRow]


@dataclass(frozen=True, kw_only=True)
class SubmitReport:
    """The difference a submit made, counted in rows; all zero but `unchanged` when nothing was new."""

    campaign_id: str
    created: bool
    revision: int
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    invalid: int = 0
    """Rows with problems of their own among the added and changed ones."""
    jobs_new: int = 0
    """Jobs that have to be rendered because of this submit."""
    jobs_reused: int = 0
    """Jobs whose clip existed already, from any campaign."""
    added_rows: tuple[str, ...] = field(default=())
    changed_rows: tuple[str, ...] = field(default=())
    removed_rows: tuple[str, ...] = field(default=())
    """The first 100 ids of each, for the report."""

    @property
    def changes_nothing(self) -> bool:
        return not (self.created or self.added or self.changed or self.removed)
