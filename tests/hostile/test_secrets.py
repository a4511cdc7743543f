"""No secret of an installation is ever shown, logged, stored or handed on, whatever goes wrong."""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from storage.ledger.open import open_ledger
from storage.ledger.options import LedgerOptions
from tests.support.cli import Cli, silent_rows, write_picture, write_sheet
from tests.support.hostile_canary import Canaries, Eyes, canary
from tests.support.postgres import PostgresServer
from tests.support.s3 import S3Server
from tests.support.up import eventually

NOBODY = "127.0.0.1:9"
"""The discard port: nothing listens."""


@dataclass(frozen=True)
class Installation:
    """A command line whose every secret is a canary."""

    cli: Cli
    eyes: Eyes
    database_url: str
    s3: S3Server

    def run(self, *words: object, without: str = "", **environ: str) -> int:
        """One command, its output and its processes looked at; its exit code."""
        given = {name: value for name, value in {**self.cli.environ, **environ}.items() if name != without}
        cli = Cli(folder=self.cli.folder, environ=given, prefect=self.cli.prefect)
        process = cli.start(*words)
        with self.eyes.on_processes_of(process.pid):
            try:
                out, err = process.communicate(timeout=240)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        self.eyes.look(f"stdout of {words}", out)
        self.eyes.look(f"stderr of {words}", err)
        assert "Traceback" not in err, err
        return process.returncode


@pytest.fixture(scope="module")
def installation(
    postgres: PostgresServer, rclone_s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """A ledger on PostgreSQL that asks for a password, objects on S3, and Prefect behind an address with a password."""
    words = {name: canary(name) for name in ("database", "prefect", "proxy", "auth", "wrong", "query")}
    keys = {"access key": rclone_s3.access_key, "secret key": rclone_s3.secret_key}
    folder = tmp_path_factory.mktemp("canaries")
    write_picture(folder)
    rows = silent_rows(3)
    rows[1]["prompt"] = "its process dies in the middle [crash]"
    rows[2]["prompt"] = "cannot be rendered [fail=bad_input]"
    write_sheet(folder, rows)
    (folder / "campaign.toml").write_text('max_attempts = 1\n[placeholders]\nx = "y"\n')
    url = _with_password(postgres, words["database"])
    open_ledger(url, options=LedgerOptions(), create=True).close()
    environ = {
        "CALLSHEET_DATABASE_URL": url,
        **rclone_s3.variables(),
        "CALLSHEET_PREFECT_AUTH": f"operator:{words['auth']}",
        "CALLSHEET_LOG_LEVEL": "DEBUG",
        "HTTP_PROXY": f"http://somebody:{words['proxy']}@{NOBODY}",
        "HTTPS_PROXY": f"http://somebody:{words['proxy']}@{NOBODY}",
        "ALL_PROXY": f"http://somebody:{words['proxy']}@{NOBODY}",
    }
    cli = Cli(folder=folder, environ=environ, prefect=f"http://somebody:{words['prefect']}@{NOBODY}/api")
    return Installation(cli, Eyes(Canaries(words | keys)), url, rclone_s3)


def _with_password(postgres: PostgresServer, password: str) -> str:
    """The URL of a new database as a role that the server lets in by password only."""
    url = postgres.new_database()
    name = urlsplit(url).path.lstrip("/")
    role = f"canary_{name}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
        )
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), sql.Identifier(role)))
        (rules,) = connection.execute("SHOW hba_file").fetchone() or ("",)
        path = Path(rules)
        path.write_text(f"local all {role} scram-sha-256\n{path.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
    return url.replace("postgresql://postgres@", f"postgresql://{role}:{password}@")


def test_a_campaign_from_sheet_to_gallery_shows_no_secret(installation: Installation) -> None:
    """Every verb, with and without --json, a rendering process that dies in the middle, and all that is left behind."""
    run = installation.run
    assert run("validate", "sheet.csv", "--engine", "pattern") == 0
    assert run("submit", "sheet.csv", "--engine", "pattern", "--yes", "--json") == 0
    assert run("run", "sheet.csv", "--engine", "pattern", "--out", "out") == 1
    assert run("status", "sheet") == 0
    assert run("rows", "sheet", "--json") == 0
    assert run("explain", "sheet", "r0001") == 0
    assert run("export", "sheet", "--out", "exported", "--json") == 0
    assert run("doctor") == 1
    assert run("doctor", "--json") == 1
    assert installation.eyes.look_below(installation.cli.folder) > 10
    assert installation.s3.folder is not None
    assert installation.eyes.look_below(installation.s3.folder) > 5
    assert installation.eyes.look_into_postgres(installation.database_url) > 5
    assert installation.eyes.seen == {}


def test_what_cannot_be_reached_or_let_in_shows_no_secret(installation: Installation, long_run: bool) -> None:
    """Servers that are down, wrong passwords, addresses that are none: an error with its fix, without the secret."""
    words = installation.eyes.canaries.words
    wrong, url = words["wrong"], installation.database_url
    secret = words["database"]
    database = [
        url.replace(secret, wrong),
        f"postgresql://somebody:{secret}@{NOBODY}/ledger",
        f"postgresql://somebody:{secret}@{NOBODY}/ledger?sslmode=require&sslpassword={words['query']}",
        f"postgresql:///ledger?host=127.0.0.1&port=9&user=x&password={words['query']}",
        f"postgresql://somebody:{secret}@127.0.0.1:port/ledger",
        f"mysql://somebody:{secret}@{NOBODY}/ledger",
        f"postgresql+asyncpg://somebody:{secret}@{NOBODY}/ledger",
        f"somebody:{secret}@host",
        f"sqlite:////nowhere/{'x' * 300}?password={words['query']}",
    ]
    store = [
        {"CALLSHEET_S3_SECRET_KEY": wrong},
        {"CALLSHEET_S3_ACCESS_KEY": wrong},
        {"CALLSHEET_S3_ENDPOINT": f"http://{NOBODY}"},
        {"CALLSHEET_S3_ENDPOINT": f"http://somebody:{wrong}@{NOBODY}"},
        {"CALLSHEET_S3_ENDPOINT": f"ftp://somebody:{wrong}@{NOBODY}"},
        {"CALLSHEET_STORE_URL": f"s3://somebody:{wrong}@bucket/prefix"},
        {"CALLSHEET_STORE_URL": f"https://somebody:{wrong}@host/bucket"},
        {"CALLSHEET_STORE_URL": f"s3://bucket/prefix?token={wrong}"},
        {},
    ]
    shown = [
        {"CALLSHEET_PREFECT_API_URL": f"http://somebody:{wrong}@{NOBODY}/api?token={words['query']}"},
        {"CALLSHEET_PREFECT_API_URL": f"somebody:{wrong}@host"},
        {"CALLSHEET_DASK_SCHEDULER": f"tcp://somebody:{wrong}@{NOBODY}", "CALLSHEET_EXECUTOR": "inline"},
    ]
    # doctor looks at each part on its own: one of each kind goes into every run.
    pairs = list(zip(database, store, strict=True))
    for number, (one, other) in enumerate(pairs if long_run else pairs[::4]):
        environ = {"CALLSHEET_DATABASE_URL": one, **other, **shown[number % len(shown)]}
        assert installation.run("doctor", *(["--json"] if number % 2 else []), **environ) != 0
    refused = [{"CALLSHEET_DATABASE_URL": database[0]}, store[5], {"CALLSHEET_DATABASE_URL": database[5]}, store[0]]
    for environ in refused if long_run else refused[:2]:
        assert installation.run("submit", "sheet.csv", "--engine", "pattern", "--campaign", "other", **environ) != 0
    assert installation.eyes.look_below(installation.cli.folder) > 0
    assert installation.eyes.seen == {}


def test_settings_that_are_wrong_are_named_without_their_values(installation: Installation) -> None:
    """An unknown variable or key, a value of the wrong kind, and a file that is no TOML."""
    word = installation.eyes.canaries.words["wrong"]
    assert installation.run("status", CALLSHEET_S3_SECRET=word) == 2
    for text in (
        f's3_secret_key = ["{word}"]',
        f's3_secret_key = "{word}',
        f'secret = "{word}"',
        f"s3_secret_key = {word}",
    ):
        (installation.cli.folder / "callsheet.toml").write_text(text)
        assert installation.run("doctor", without="CALLSHEET_S3_SECRET_KEY") == 2
    (installation.cli.folder / "callsheet.toml").unlink()
    assert installation.eyes.seen == {}


def test_the_eyes_see(tmp_path: Path) -> None:
    """A canary is noticed in each form and place."""
    eyes = Eyes(Canaries({"x": canary("x")}))
    word = eyes.canaries.words["x"]
    for where, data in (
        ("plain", f"a{word}b"),
        ("basic", base64.b64encode(f"u:{word}".encode()).decode()),
        ("basic of two", base64.b64encode(f"us:{word}".encode()).decode()),
        ("basic of three", base64.b64encode(f"use:{word}".encode()).decode()),
        ("wide", word.encode("utf-16-le").decode("latin-1")),
    ):
        eyes.look(where, data)
        assert eyes.seen.pop(where) == {"x"}
    (tmp_path / "f").write_text(word)
    assert eyes.look_below(tmp_path) == 1
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)", word]
    with subprocess.Popen(sleeper, stdin=subprocess.DEVNULL) as process:
        with eyes.on_processes_of(process.pid):
            eventually(lambda: "a command line" in eyes.seen, within_s=30)
        process.kill()
    assert list(eyes.seen) == ["f", "a command line"]
