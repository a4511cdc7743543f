"""A sheet of the largest size is read while its author waits."""

import csv
import io
import time

from schemas.campaign import CampaignSettings
from schemas.manifest.parse import parse_manifest
from schemas.manifest.rows import check_rows
from schemas.model_spec import HUMO_17B
from schemas.settings import Limits

ROWS = 20_000


def test_reading_and_checking_costs_a_bounded_multiple_of_pythons_csv() -> None:
    """Parsing stays within 25 times, parsing and checking within 120 times the bare reader in the same run."""
    lines = ["row_id,prompt,image,audio,video,seed,width,height,priority,mood"]
    lines += [
        f'r{n},"A woman looks {{{{mood}}}}, softly {n}",a/{n % 9}.png|b.png,s/{n}.wav,v{n // 3},{n},832,480,1,calm'
        for n in range(ROWS)
    ]
    text = "\r\n".join(lines)

    start = time.perf_counter()
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    bare = time.perf_counter() - start

    start = time.perf_counter()
    parsed = parse_manifest(text.encode(), name="sheet.csv", limits=Limits())
    parsing = time.perf_counter() - start

    start = time.perf_counter()
    check = check_rows(parsed, settings=CampaignSettings(), model=HUMO_17B, limits=Limits())
    checking = time.perf_counter() - start

    print(f"csv {bare:.3f} s, parse {parsing:.3f} s, check {checking:.3f} s: {ROWS / (parsing + checking):,.0f} rows/s")
    assert len(rows) == len(check.rows) + 1 == ROWS + 1
    assert check.problems == ()
    assert parsing < 25 * bare
    assert parsing + checking < 120 * bare
