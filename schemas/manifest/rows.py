"""From records to checked rows: every problem of every row in one pass, good rows untouched by bad ones."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.campaign import CampaignSettings
from schemas.manifest.parse import ParsedManifest
from schemas.manifest.reading import RowReader
from schemas.manifest.row import ManifestRow
from schemas.manifest.videos import video_faults
from schemas.model_spec import ModelSpec
from schemas.problem import RowProblem
from schemas.settings import Limits

__all__ = ["ManifestCheck", "ManifestRow", "check_rows"]


@dataclass(frozen=True, kw_only=True)
class ManifestCheck:
    """Every record of a manifest as a row, good or bad, in file order, and all problems in the same order."""

    rows: tuple[ManifestRow, ...]
    problems: tuple[RowProblem, ...]


def check_rows(
    parsed: ParsedManifest, *, settings: CampaignSettings, model: ModelSpec, limits: Limits
) -> ManifestCheck:
    """Look at every cell of every record, then at rows beside their siblings. Never raises for what a sheet says.

    References are only read here; whether there is something behind them is checked where files can be opened.
    """
    reader = RowReader(parsed, settings=settings, model=model, limits=limits)
    rows = [reader.read(record) for record in parsed.records]
    for position, faults in video_faults(rows, reader.member).items():
        record = parsed.records[position]
        found = tuple(reader.problem(fault, record) for fault in faults)
        rows[position] = rows[position]._replace(problems=(*rows[position].problems, *found))
    return ManifestCheck(rows=tuple(rows), problems=tuple(problem for row in rows for problem in row.problems))
