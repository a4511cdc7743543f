"""One record of a manifest as its author meant it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from schemas.mode import Mode
from schemas.problem import RowProblem


class ManifestRow(NamedTuple):
    """One shot as the sheet says it. None and empty mean: the sheet says nothing, campaign and model decide.

    A row with problems has every value that could be read; the others are empty. Made for every row, hence a tuple: a
    frozen dataclass costs more than twice as much.
    """

    row_id: str
    """The author's id; `_line-N` where it is missing, invalid or not unique."""
    line: int
    """1-based physical line where the record starts."""
    position: int
    """0-based order in the manifest."""
    byte_start: int
    byte_end: int
    """The record's bytes in the file, its line end not included."""
    video: str
    """The `video` cell, else the row's own id."""
    shot_order: int | None
    prompt: str
    """Placeholders filled, cleaned."""
    images: tuple[str, ...]
    audio: str
    mode: Mode
    """As the cell says, else as the filled cells mean; TIA where neither tells."""
    seed: int | None
    negative_prompt: str
    width: int | None
    height: int | None
    duration: float | None
    """Seconds."""
    priority: int | None
    not_before: datetime | None
    """With time zone."""
    consent_ref: str
    base: str
    """Folder or prefix that relative references start from; empty: the manifest's own."""
    problems: tuple[RowProblem, ...] = ()
