"""References that attack, as cells of sheets refused by their codes; nobody hears of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.campaign.intake import ManifestSource, checked_manifest
from flows.stages.executor import InlineExecutor
from schemas.problem import Code
from schemas.settings import Settings
from tests.storage.fetcher.test_addresses import NOT_PUBLIC
from tests.support.hostile import good_row, with_rows
from tests.support.hostile_driver import Run
from tests.support.hostile_references import BASES, LIVE_PORT, NUMERIC_LOOPBACK, Inside, corpus, in_sheet
from tests.support.hostile_runs import faults_of, note_figures, run_batch


@pytest.fixture(scope="module")
def answers(inside: Inside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """All sheets through the command line of an installation that could reach the listener in every way there is."""
    here = f"127.0.0.1:{inside.port}"
    environ = {
        LIVE_PORT: str(inside.port),
        "CALLSHEET_FETCH_BUCKETS": "allowed,limited/inbox",
        "CALLSHEET_S3_ENDPOINT": f"http://{here}",
        "CALLSHEET_S3_ACCESS_KEY": "key",
        "CALLSHEET_S3_SECRET_KEY": "secret",
        "HTTP_PROXY": f"http://{here}",
        "HTTPS_PROXY": f"http://{here}",
        "ALL_PROXY": f"socks5://{here}",
    }
    inner = ",".join(f"{host}:{inside.port}" for host in NUMERIC_LOOPBACK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LIVE_PORT, str(inside.port))
        found = {}
        for case in corpus():
            hosts = {"CALLSHEET_FETCH_HOSTS": inner if case.name == "inner names" else "media.example.org"}
            folder = tmp_path_factory.mktemp("sheet")
            found |= run_batch(MODULE, [(case, "validate")], folder, timeout_s=120, environ=environ | hosts)
        note_figures("hostile references, a sheet for each kind", found.values())
        yield {name: run for (name, _), run in found.items()}


MODULE = "tests.support.hostile_references"


@pytest.mark.parametrize("name", ["references", "bases", "scripts", "inner names"])
def test_nothing_that_a_cell_names_is_reached(name: str, answers: dict[str, Run], inside: Inside) -> None:
    """Each row has its code; the listener heard nothing, and but for allowed names none was even looked up."""
    case = next(case for case in corpus() if case.name == name)
    assert faults_of(case, answers[name], looks_up=name == "inner names") == []
    assert inside.connections == 0


def test_an_allowed_name_that_leads_inside_is_refused(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver may say what it wants: private, local, metadata and malformed addresses are not connected to."""
    hosts = {f"h{n}.example.org": address for n, address in enumerate(NOT_PUBLIC)}

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (hosts[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    sheet = with_rows(*(good_row(f"r{n}", image=f"https://{h}:{inside.port}/a.png") for n, h in enumerate(hosts)))(
        tmp_path
    )
    settings = Settings(home=str(tmp_path / "home"), fetch_hosts=tuple(f"{host}:{inside.port}" for host in hosts))
    with checked_manifest(ManifestSource(path=sheet), settings, InlineExecutor()) as checked:
        codes = {problem.row_id: problem.code for problem in checked.problems}
    assert codes == {f"r{n}": Code.REFERENCE_ADDRESS for n in range(len(hosts))}
    assert inside.connections == 0


def test_there_are_enough_of_them(inside: Inside) -> None:
    """At least 100 references as pictures and as speech, and 20 bases."""
    assert len(in_sheet()) >= 100
    assert len(BASES) >= 20
    # The listener does count: what has been zero so far is one for somebody who comes.
    before = inside.connections
    socket.create_connection(("127.0.0.1", inside.port)).close()
    while inside.connections == before:
        os.sched_yield()
    assert inside.connections == before + 1
