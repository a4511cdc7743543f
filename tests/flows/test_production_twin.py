"""The same campaign on PostgreSQL and S3 with three workers, and on SQLite and a directory, from the command line."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.cli import Cli, silent_rows, write_picture, write_sheet
from tests.support.postgres import PostgresServer
from tests.support.s3 import S3Server

SHORT, LONG = 24, 200
DIFFERENT_BY_NATURE = {"_gpu_s", "_video_url", "_poster_url"}


def rows_with_a_shared_video(count: int) -> list[dict[str, str]]:
    rows = silent_rows(count, duration=0.2)
    for row in rows[:6]:
        row["video"] = "together"
    return rows


def results(cli: Cli) -> list[dict[str, str]]:
    text = (cli.folder / "out" / "results.csv").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in row.items() if k not in DIFFERENT_BY_NATURE} for row in csv.DictReader(text)]


def digests(cli: Cli) -> dict[str, str]:
    videos = (cli.folder / "out" / "videos").glob("*.mp4")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in videos}


def render(folder: Path, environ: Mapping[str, str], *, rows: int, workers: int) -> Cli:
    cli = Cli(folder=folder, environ=environ)
    write_picture(folder)
    write_sheet(folder, rows_with_a_shared_video(rows))
    words = ("run", "sheet.csv", "--engine", "pattern", "--workers", workers, "--out", "out")
    assert cli.json(*words)["state"] == "done"
    return cli


@pytest.mark.slow
def test_servers_and_files_give_the_same_videos(
    tmp_path: Path, postgres: PostgresServer, rclone_s3: S3Server, long_run: bool
) -> None:
    """24 rows, 200 in the long run, with three workers on real servers end as they do on a laptop, byte for byte."""
    rows = LONG if long_run else SHORT
    environ = {"CALLSHEET_DATABASE_URL": postgres.new_database(), **rclone_s3.variables()}
    production = render(tmp_path / "production", environ, rows=rows, workers=3)
    laptop = render(tmp_path / "laptop", {}, rows=rows, workers=2)
    assert not (production.folder / "home" / "objects").exists()
    assert not (production.folder / "home" / "ledger.db").exists()
    assert len(digests(laptop)) == rows - 5
    assert digests(production) == digests(laptop)
    for one, other in zip(results(production), results(laptop), strict=True):
        assert one == other
    workers = {
        a["worker"] for n in range(0, rows, 6) for a in production.json("explain", "sheet", f"r{n:04d}")["attempts"]
    }
    assert len(workers) >= 2
