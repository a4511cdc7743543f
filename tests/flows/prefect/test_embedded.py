"""The server that is started for one run, where none is configured."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli import Cli, silent_rows, write_picture, write_sheet

RUN = ("run", "sheet.csv", "--engine", "pattern", "--workers", 1, "--out", "out")
NOWHERE = "http://127.0.0.1:9"
"""A proxy that takes nothing."""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    write_picture(tmp_path)
    write_sheet(tmp_path, silent_rows(1))
    return Cli(folder=tmp_path, prefect="")


def servers(home: Path) -> list[int]:
    """Process ids of embedded servers whose state lies under that home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words, environ = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue
        if b"flows.embedded_prefect" in words and f"PREFECT_HOME={home / 'prefect'}".encode() in environ.split(b"\0"):
            found.append(int(entry.name))
    return found


def wait_for_servers(home: Path, number: int, *, within_s: float = 60.0) -> list[int]:
    deadline = time.monotonic() + within_s
    while len(found := servers(home)) != number and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) == number
    return found


def test_a_proxy_does_not_stand_between_a_run_and_its_server(cli: Cli) -> None:
    """Nor does its end leave a server behind."""
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"), NOWHERE)
    behind = Cli(folder=cli.folder, prefect="", environ=proxies | {"NO_PROXY": "intranet.example"})
    done = behind(*RUN)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "without it" not in done.stderr
    with closing(sqlite3.connect(cli.folder / "home" / "prefect" / "prefect.db")) as runs:
        assert runs.execute("SELECT state_type FROM flow_run").fetchall() == [("COMPLETED",)]
    assert servers(cli.folder / "home") == []


def test_a_damaged_database_of_past_runs_stops_no_campaign(cli: Cli) -> None:
    """The run says that Prefect's server does not start and where to read why, and goes on without it."""
    kept = cli.folder / "home" / "prefect" / "prefect.db"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"no database at all\n" * 1000)
    done = cli(*RUN)
    assert done.returncode == 0, done.stderr[-3000:]
    log = cli.folder / "home" / "logs" / "prefect-embedded.log"
    assert f"Prefect's own server does not start ({log} says why); rendering goes on without it" in done.stderr
    assert "file is not a database" in log.read_text(encoding="utf-8")
    assert (cli.folder / "out" / "videos" / "r0000.mp4").is_file()
    assert servers(cli.folder / "home") == []


def test_a_run_that_is_killed_leaves_no_server(cli: Cli) -> None:
    """The kernel tells it; and the same command goes on."""
    process = cli.start(*RUN)
    wait_for_servers(cli.folder / "home", 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for_servers(cli.folder / "home", 0)
    done = cli(*RUN)
    assert done.returncode == 0, done.stderr[-3000:]
