"""Thousands of damaged sheets: read or refused, never a crash; what we write of them can be read and runs nowhere."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from flows.campaign.intake import Checked, ManifestSource, checked_manifest, manifest_ref, to_submission
from flows.delivery.collect import BAD, Collected, collect
from flows.delivery.sheets import StoredSheet, VideoLinks, failed, results, stored_sheet
from schemas import model_spec
from schemas.errors import InvalidManifest
from schemas.manifest.columns import COLUMNS, RESULT_COLUMNS
from schemas.manifest.encoding import decode
from schemas.manifest.parse import ParsedManifest, parse_manifest
from schemas.problem import RowProblem
from schemas.settings import Limits, Settings
from storage.ledger.memory import MemoryLedger
from tests.support.hostile_fuzz import KnownAnswers, hostile_sheets
from tests.support.hostile_runs import FIGURES

SHORT, LONG = 500, 20_000
RUNS_AS_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
LINKS = VideoLinks(video='=HYPERLINK("http://x","y")', poster="\t@SUM(A1)")
"""What a store's address could be at worst."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


BROKEN_RECORD_IN_A_DAMAGED_VIDEO = (
    b"row_id,prompt,image,video,note\n"
    b"r1,A woman speaks,good.png,,\n"
    b"r1,A woman speaks,good.png,\xed\xa0\x80,\n"
    b'r1,"A woman speaks,good.png,\xed\xa0\x80,\n'
)
"""It was put into a video with a name that no video can have, and that no digest can be taken of."""


QUOTES_UNDER_A_NAME_OVER_TWO_LINES = (
    b'"note","row_id,prompt,image\nimage","row_id","negative_prompt","audio","@x","prompt"\n'
    b'"","=HYPERLINK("http://x","y")","r1","","",""","A woman speaks"\n'
)
"""Its problems name that column, and the cell that says so tore the record in failed.csv in two."""


@pytest.fixture(scope="session")
def tally() -> Iterator[Counter[str]]:
    """What became of the sheets, told at the end."""
    counts: Counter[str] = Counter()
    yield counts
    FIGURES.append(f"mutated sheets: {dict(counts.most_common())}")


@pytest.mark.timeout(3600)
def test_any_sheet_is_read_or_refused_and_comes_back_whole(
    folder: Path, tally: Counter[str], long_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the intake to results.csv and failed.csv: problems have a place, bytes come back, no cell of ours runs."""

    @settings(
        max_examples=LONG if long_run else SHORT,
        deadline=None,
        derandomize=not long_run,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=hostile_sheets())
    @example(data=BROKEN_RECORD_IN_A_DAMAGED_VIDEO)
    @example(data=QUOTES_UNDER_A_NAME_OVER_TWO_LINES)
    def hold(data: bytes) -> None:
        _hold(data, folder, tally)

    # Reading the entry points of all distributions takes longer than all the rest of a sheet.
    monkeypatch.setattr(model_spec, "entry_points", cache(model_spec.entry_points))
    hold()
    assert sum(tally.values()) >= (LONG if long_run else SHORT)


def _hold(data: bytes, folder: Path, tally: Counter[str]) -> None:
    path = folder / "sheet.csv"
    path.write_bytes(data)
    installation = Settings(home=str(folder / "home"), executor="inline")
    source = ManifestSource(path=path, overrides={"engine": "pattern"})
    try:
        with checked_manifest(source, installation, KnownAnswers()) as checked:
            _hold_problems(checked.problems, data, checked.parsed.columns)
            _hold_records(checked.parsed, data)
            _hold_deliverables(checked)
            tally["good" if checked.is_clean else "some rows bad"] += 1
    except InvalidManifest as refused:
        problems = refused.problems
    else:
        return
    assert problems
    _hold_problems(problems, data, ())
    tally["refused as a whole"] += 1


def _hold_problems(problems: tuple[RowProblem, ...], data: bytes, columns: tuple[str, ...]) -> None:
    """Each stands at a line of the file, names a column, says how to mend it, and can be printed anywhere."""
    lines = data.count(b"\n") + data.count(b"\r") + 1
    for problem in problems:
        assert 0 <= problem.line <= lines
        assert not columns or problem.column in {"", *columns, *COLUMNS}
        assert problem.message.isprintable()
        assert problem.fix.isprintable()
        assert problem.fix
        json.dumps(problem.as_dict()).encode()


def _hold_records(parsed: ParsedManifest, data: bytes) -> None:
    """Records lie behind the header, in order, and do not overlap; nothing but blank lines lies between them."""
    at = parsed.header_bytes[1]
    for record in parsed.records:
        assert at <= record.byte_start <= record.byte_end <= len(data)
        assert not data[at : record.byte_start].strip(
            b' \t\r\n,;|"\0\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\xc2\xe2\x80\xa8\xa9'
        )
        at = record.byte_end


def _hold_deliverables(checked: Checked) -> None:
    ledger = MemoryLedger()
    report = ledger.submit(to_submission(checked, manifest_ref(checked)))
    collected = collect(ledger, ledger.campaign(report.campaign_id))
    assert collected.campaign.manifest is not None
    sheet = stored_sheet(collected.campaign.manifest, checked.data)
    _hold_results(checked.parsed, collected, sheet)
    _hold_failed(checked, collected, sheet)


def _hold_results(parsed: ParsedManifest, collected: Collected, sheet: StoredSheet) -> None:
    """As many rows as came in, each the input's bytes and our cells behind; none of ours would run in a spreadsheet."""
    links = dict.fromkeys(collected.videos, LINKS)
    _, *written = results(collected, sheet, links)
    assert len(written) == len(parsed.records)
    own = len(sheet.own_columns)
    for record, line in zip(parsed.records, written, strict=True):
        raw = sheet.data[record.byte_start : record.byte_end]
        assert line.startswith(raw) or own < len(parsed.columns)
        for cell in sheet.cells(line)[-len(RESULT_COLUMNS) :]:
            assert not cell.startswith(RUNS_AS_FORMULA) or cell.lstrip("+-").replace(".", "", 1).isdecimal()
    data = b"".join(results(collected, sheet, links))
    again = parse_manifest(data, name="results.csv", limits=Limits(), delimiter=parsed.delimiter)
    assert len(again.records) == len(parsed.records) or _is_torn(parsed)
    _hold_strict_readers(data, parsed)


def _is_torn(parsed: ParsedManifest) -> bool:
    """A broken record goes over several lines: where it ends is anybody's guess, and behind our cells another one."""
    return any(
        "\n" in field or "\r" in field
        for position in parsed.problems_by_position
        for field in parsed.records[position].fields
    )


def _hold_strict_readers(data: bytes, parsed: ParsedManifest) -> None:
    """Where nothing was wrong with the form of the input, Python's strict reader sees our cells under our names."""
    if parsed.problems_by_position:
        return
    text = decode(data).text
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=parsed.delimiter, strict=True) if row]
    if rows[0][0].lower().startswith("sep="):
        rows = rows[1:]
    header, *records = rows
    assert tuple(header[-len(RESULT_COLUMNS) :]) == RESULT_COLUMNS
    assert all(len(record) == len(header) for record in records if any(cell.strip() for cell in record))


def _hold_failed(checked: Checked, collected: Collected, sheet: StoredSheet) -> None:
    """The bad rows and no others, and the file can be sent again as it stands."""
    bad = collected.rows_in(BAD)
    data = b"".join(failed(collected, sheet))
    if not bad:
        return
    again = parse_manifest(data, name="failed.csv", limits=Limits(), delimiter=checked.parsed.delimiter)
    assert len(again.records) == len(bad) or _is_torn(checked.parsed)
    assert {"row_id", "prompt", "_base"} <= set(again.columns)
