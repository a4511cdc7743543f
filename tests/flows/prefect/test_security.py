"""Who may talk to Prefect, and what Prefect never hears."""

from __future__ import annotations

import base64
import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.prefect_guard import refuse_open_server
from schemas.errors import Refused
from schemas.redaction import Redactor
from schemas.settings import Settings, resolve
from tests.support.cli import silent_rows
from tests.support.outage import installation
from tests.support.prefect_server import FallibleServer, PrefectServer, fallible_server

CANARY = "canary-Zx81-secret"
AUTH = f"producer:{CANARY}"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FallibleServer]:
    """A server with a password and with tokens against forged requests."""
    folder = tmp_path_factory.mktemp("closed")
    environ = {"PREFECT_SERVER_API_AUTH_STRING": AUTH, "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true"}
    with fallible_server(folder, **environ) as server:
        yield server


@pytest.mark.slow
def test_a_closed_server_is_used_and_learns_no_secret(tmp_path: Path, closed: FallibleServer) -> None:
    """With the password a campaign shows there as ever; no secret is in its database, the logs or what was printed."""
    secrets = {"CALLSHEET_PREFECT_AUTH": AUTH, "CALLSHEET_PREFECT_CSRF": "true", "CALLSHEET_PROFILE": "production"}
    secrets |= {"CALLSHEET_S3_ACCESS_KEY": f"{CANARY}-a", "CALLSHEET_S3_SECRET_KEY": f"{CANARY}-s"}
    rows = silent_rows(3)
    rows[1]["prompt"] = f"no [fail=bad input] {CANARY}-s"
    cli = installation(tmp_path, closed, rows, **secrets)
    done = cli("run", "spring.csv", "--out", "out", "--yes")
    assert done.returncode == 1, done.stderr[-2000:]
    with pytest.raises(urllib.error.HTTPError, match="401") as turned_away:
        urllib.request.urlopen(f"{closed.api_url}/admin/version", timeout=20)
    turned_away.value.close()
    request = urllib.request.Request(f"{closed.api_url}/csrf-token?client=00000000-0000-0000-0000-000000000001")
    request.add_header("Authorization", f"Basic {base64.b64encode(AUTH.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["token"]
    closed.kill()
    with sqlite3.connect(closed.home / "prefect.db") as database:
        states = database.execute("select state_name from flow_run").fetchall()
        text = "\n".join(database.iterdump())
    database.close()
    assert states == [("DoneWithErrors",)]
    assert "r0001" in text
    assert CANARY not in text
    assert CANARY not in done.stdout + done.stderr


def test_production_refuses_an_open_server(prefect_server: PrefectServer) -> None:
    """The profile wants credentials, a server that asks for them, and tokens where it starts one itself."""
    open_one = {"CALLSHEET_PROFILE": "production", "CALLSHEET_PREFECT_API_URL": prefect_server.api_url}
    with pytest.raises(Refused, match="no credentials"):
        refuse_open_server(resolve(environ=open_one).settings)
    with pytest.raises(Refused, match="answers anybody"):
        refuse_open_server(resolve(environ=open_one | {"CALLSHEET_PREFECT_AUTH": AUTH}).settings)
    refuse_open_server(resolve(environ=open_one | {"CALLSHEET_PROFILE": "local"}).settings)


def test_production_starts_no_open_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configured server the one to be started must have a password and tokens."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    given = {"CALLSHEET_PROFILE": "production", "CALLSHEET_PREFECT_AUTH": AUTH}
    with pytest.raises(Refused, match="forged"):
        refuse_open_server(resolve(environ=given).settings)
    refuse_open_server(resolve(environ=given | {"CALLSHEET_PREFECT_CSRF": "true"}).settings)


def test_secrets_become_stars() -> None:
    """Whole addresses, passwords, keys and signed links; ordinary words stay."""
    settings = resolve(
        environ={
            "CALLSHEET_DATABASE_URL": f"postgresql://callsheet:{CANARY}@db.example/callsheet",
            "CALLSHEET_S3_SECRET_KEY": "another%2Fsecret",
        }
    ).settings
    redact = Redactor.of(settings)
    said = redact(
        f"cannot reach postgresql://callsheet:{CANARY}@db.example/callsheet with another%2Fsecret or {CANARY}; "
        "see https://u:pw@host/x and https://s3/v.mp4?X-Amz-Signature=abcdef&x=1"
    )
    assert CANARY not in said
    assert "another" not in said
    assert "u:pw" not in said
    assert "abcdef" not in said
    assert Redactor.of(Settings())("row r0001: published") == "row r0001: published"
