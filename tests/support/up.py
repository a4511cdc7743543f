"""`callsheet up` as a real process in a folder of its own, and questions to its Prefect server."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import yaml

from flows.deploy.up import children
from flows.prefect_home import is_reachable
from schemas.settings import Settings
from storage.places import open_ledger_of
from tests.support.cli import ROOT, Cli, write_picture, write_sheet
from tests.support.prefect_database import place_database

T = TypeVar("T")
MOST_BUSY = 60

QUICK = {
    "CALLSHEET_INBOX_EVERY": "10",
    "CALLSHEET_INBOX_QUIET_S": "1",
    "CALLSHEET_LEASE_TTL_S": "8",
    "CALLSHEET_PREFECT_EVERY_S": "0.5",
    "CALLSHEET_EXECUTOR": "inline",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
}
TOML = 'engine = "pattern"\nmodel = "humo-1.7B"\n'


def standing(home: Path, name: str) -> dict[str, Any] | None:
    """A campaign as the ledger has it: what `status --json` says, without a process for every look."""
    if not (home / "ledger.db").is_file():
        return None
    with closing(open_ledger_of(Settings(home=str(home)))) as ledger:
        for campaign in ledger.campaigns():
            if campaign.name == name:
                counts = ledger.counts(campaign.campaign_id)
                said = json.loads(campaign.model_dump_json(include={"campaign_id", "state", "revision", "coordinator"}))
                return said | {"jobs": _words(counts.jobs), "videos": _words(counts.videos)}
    return None


def _words(counts: Mapping[Any, int]) -> dict[str, int]:
    return {state.value: n for state, n in counts.items()}


def eventually(ask: Callable[[], T | None], *, within_s: float = 180, every_s: float = 0.5) -> T:
    """The first answer that is neither None nor empty; a deadline instead of a hopeful sleep."""
    deadline = time.monotonic() + within_s
    while True:
        found = ask()
        if found:
            return found
        assert time.monotonic() < deadline, f"nothing within {within_s:.0f} s"
        time.sleep(every_s)


@dataclass(frozen=True, kw_only=True)
class PrefectApi:
    """What a browser's page asks, without the page."""

    url: str

    def ask(self, path: str, body: object | None = None, method: str = "POST") -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"}, method=method)
        for _ in range(MOST_BUSY):
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                # A server whose database is locked for a moment says so; any client of it asks again.
                error.close()
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
            except (urllib.error.URLError, ConnectionError):
                pass  # it is being started, or was killed and is started again
            time.sleep(1)
        raise AssertionError(f"busy {MOST_BUSY} times in a row: {path}")

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Runs of that name, newest first; those that only wait for their time are left out."""
        found = self.ask("/flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}, "sort": "START_TIME_DESC"})
        return [run for run in found if run["state_type"] != "SCHEDULED"]

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.ask(f"/flow_runs/{run_id}", method="GET"))

    def log(self, run_id: str) -> str:
        wanted = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        return "\n".join(line["message"] for line in self.ask("/logs/filter", wanted))

    def trackers(self, run_id: str) -> dict[str, str]:
        wanted = {"flow_runs": {"id": {"any_": [run_id]}}, "limit": 200}
        return {task["name"]: task["state_type"] for task in self.ask("/task_runs/filter", wanted)}

    def artifacts(self, start: str) -> dict[str, Any]:
        """Noun to data of the campaign's artifacts; two of one noun would be a mistake."""
        found = [a for a in self.ask("/artifacts/filter", {}) if (a["key"] or "").startswith(start)]
        nouns = {a["key"].rpartition("-")[2]: a["data"] for a in found}
        assert len(nouns) == len(found)
        return nouns

    def artifact_id(self, key: str) -> str:
        found = self.ask("/artifacts/filter", {"artifacts": {"key": {"any_": [key]}}})
        assert len(found) == 1
        return str(found[0]["id"])

    def deployment(self, flow: str) -> str:
        return str(self.ask(f"/deployments/name/{flow}/callsheet", method="GET")["id"])

    def start(self, flow: str, **parameters: object) -> str:
        """A run of that flow's deployment, as a person's click begins it."""
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.ask(f"/deployments/{self.deployment(flow)}/create_flow_run", body)["id"])

    def events(self, resource: str) -> list[dict[str, Any]]:
        """What happened to that resource, the earliest first."""
        wanted = {"resource": {"id": [resource]}, "order": "ASC"}
        return list(self.ask("/events/filter", {"filter": wanted, "limit": 50})["events"])

    def set_state(self, run_id: str, kind: str, name: str | None = None) -> None:
        state = {"type": kind, "name": name or kind.capitalize(), "message": None}
        self.ask(f"/flow_runs/{run_id}/set_state", {"state": state})


@dataclass(frozen=True, kw_only=True)
class Up:
    cli: Cli
    api: PrefectApi
    ui_url: str
    files_url: str
    process: subprocess.Popen[str]

    @property
    def inbox(self) -> Path:
        return self.cli.folder / "home" / "inbox"

    def drop(self, name: str, rows: list[dict[str, str]]) -> None:
        """A folder with a sheet and its picture, there at once as a whole."""
        staging = self.cli.folder / "staging" / name
        write_picture(staging)
        (staging / "campaign.toml").write_text(TOML)
        write_sheet(staging, rows, f"{name}.csv")
        staging.rename(self.inbox / name)

    def campaign(self, name: str) -> dict[str, Any] | None:
        return standing(self.cli.folder / "home", name)

    def processes(self, of: int, *words: str) -> list[int]:
        """Children of the process `of` in whose command line or environment all words stand."""
        return [pid for pid in children(of) if all(word in _about(pid) for word in words)]


@contextmanager
def serving(folder: Path, *, workers: int = 1, environ: Mapping[str, str] | None = None) -> Iterator[Up]:
    """Up and answering; ended by Ctrl-C."""
    folder.mkdir(parents=True, exist_ok=True)
    cli = Cli(folder=folder, environ=QUICK | dict(environ or {}), prefect="")
    place_database(folder / "home" / "prefect")
    port = _free_pair()
    process = cli.start("up", "--port", port, "--workers", workers)
    ui_url = f"http://127.0.0.1:{port}"
    api = PrefectApi(url=f"{ui_url}/api")

    def is_up() -> bool:
        assert process.poll() is None, "it ended"
        return _has_deployments(api)

    try:
        eventually(is_up, within_s=240)
        yield Up(cli=cli, api=api, ui_url=ui_url, files_url=f"http://127.0.0.1:{port + 1}", process=process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 130, errors[-3000:]


def _free_pair() -> int:
    """A port that nobody has, nor the one after it, where `up` serves files.

    Below those that the system gives to connections: one of these would come in between now and then.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 1))
            return port


def _about(pid: int) -> str:
    with suppress(OSError):
        said = [(Path("/proc") / str(pid) / name).read_bytes() for name in ("cmdline", "environ")]
        return b" ".join(said).replace(b"\0", b" ").decode(errors="replace")
    return ""


def _has_deployments(api: PrefectApi) -> bool:
    return is_reachable(api.url) and int(api.ask("/deployments/count", {})) == _deployments()


def _deployments() -> int:
    """How many `prefect.yaml` lists, which is what `callsheet up` registers."""
    return len(yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"])
