"""Manifests in tests: from text to checked rows in one call."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.campaign import CampaignSettings
from schemas.manifest.parse import ParsedManifest, parse_manifest
from schemas.manifest.rows import ManifestCheck, check_rows
from schemas.model_spec import HUMO_17B, ModelSpec
from schemas.problem import Code
from schemas.settings import Limits


def parse_sheet(
    data: str | bytes,
    *,
    limits: Limits | None = None,
    mapping: Mapping[str, str] | None = None,
    delimiter: str | None = None,
) -> ParsedManifest:
    """Text is UTF-8."""
    return parse_manifest(
        data.encode() if isinstance(data, str) else data,
        name="sheet.csv",
        limits=limits or Limits(),
        mapping=mapping or {},
        delimiter=delimiter,
    )


def check_sheet(
    data: str | bytes,
    *,
    settings: CampaignSettings | None = None,
    model: ModelSpec = HUMO_17B,
    limits: Limits | None = None,
    mapping: Mapping[str, str] | None = None,
    delimiter: str | None = None,
) -> ManifestCheck:
    """Everything that the manifest package says of a sheet."""
    limits = limits or Limits()
    parsed = parse_sheet(data, limits=limits, mapping=mapping, delimiter=delimiter)
    return check_rows(parsed, settings=settings or CampaignSettings(), model=model, limits=limits)


def one_row(**cells: str) -> str:
    """A sheet of one row that is sound unless `cells` says otherwise; every cell in quotes."""
    row = {"row_id": "r1", "prompt": "A man speaks", "image": "face.png"} | cells
    quoted = ('"' + cell.replace('"', '""') + '"' for cell in row.values())
    return f"{','.join(row)}\n{','.join(quoted)}\n"


def found(check: ManifestCheck) -> list[tuple[int, str, Code]]:
    """(line, column, code) of every problem, in order."""
    return [(problem.line, problem.column, problem.code) for problem in check.problems]
