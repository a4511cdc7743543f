"""Verbs around Prefect and the inbox: inbox, deploy, up, ui."""

from __future__ import annotations

import os
import signal
import webbrowser
from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.cli import options as o
from flows.cli.console import emit_json, say, table
from flows.cli.verb import add

DEFAULT_PORT = 4200

Port = Annotated[int, typer.Option("--port", min=1, max=65534, help="Port of the Prefect server and its UI.")]


def register(app: typer.Typer) -> None:
    add(app, inbox)
    add(app, deploy)
    add(app, up)
    add(app, ui)


def inbox(home: o.Home = None, as_json: o.Json = False) -> int:
    """What lies in the inbox, and why it waits."""
    from flows.inbox.place import inbox_url, open_inbox, place_of
    from flows.inbox.sweep import look

    settings = o.settings_from(home)
    found = look(open_inbox(settings), settings)
    if as_json:
        drops = [{"sheet": one.name, "why": one.why, "until": one.until} for one in found]
        emit_json({"inbox": inbox_url(settings), "drops": drops})
        return 0
    say(f"inbox {place_of(inbox_url(settings))}, swept every {settings.inbox_every:.0f} s by `callsheet up`")
    if found:
        table(["sheet", "waits because", "until"], [(one.name, one.why, _moment(one.until)) for one in found])
    else:
        say("nothing lies there")
    return 0


def _moment(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%H:%M:%S UTC") if seconds else ""


def deploy(
    pool: Annotated[str, typer.Option("--pool", help="Work pool whose workers run the flows; made if need be.")] = "",
    pool_type: Annotated[str, typer.Option("--pool-type", help="Kind of a pool that is made.")] = "process",
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Register flows, schedules, limits and automations with the Prefect server; again and again does no harm."""
    from flows.prefect_guard import refuse_open_server
    from flows.prefect_home import is_reachable, prefect_api_url, use_prefect
    from flows.where import use_settings
    from schemas.errors import InvalidSettings, Retryable
    from schemas.redaction import public_address

    settings = o.settings_from(home)
    url = prefect_api_url(settings)
    if not url:
        raise InvalidSettings(
            "no Prefect server is configured",
            fix="set CALLSHEET_PREFECT_API_URL; `callsheet up` starts a server and registers everything by itself",
        )
    refuse_open_server(settings)
    if not is_reachable(url):
        raise Retryable(f"no Prefect server answers at {public_address(url)}", fix="start it, then run the same again")
    use_settings(settings)
    use_prefect(settings)
    from flows.deploy.register import register as register_all

    done = register_all(settings, pool=pool, pool_type=pool_type)
    if as_json:
        emit_json({"deployments": list(done.deployments), "automations": list(done.automations)})
        return 0
    for name in done.deployments:
        say(f"deployed    {name}")
    for name in done.automations:
        say(f"automation  {name}")
    return 0


def up(
    port: Port = DEFAULT_PORT,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes on this machine.")] = 1,
    home: o.Home = None,
) -> int:
    """Serve here: Prefect with its UI, schedules, the inbox, workers and results; Ctrl-C ends all of it in order."""
    from flows.deploy.up import up as serve_all

    signal.signal(signal.SIGTERM, _as_interrupt)
    serve_all(o.settings_from(home), port=port, workers=workers, say=say)
    return 0


def ui(
    port: Port = DEFAULT_PORT,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in a browser.")] = True,
    home: o.Home = None,
) -> int:
    """Open the Prefect UI: of the configured server, else of the runs that this installation made."""
    from flows.campaign.handover import deliveries_folder
    from flows.deploy.file_server import FileServer
    from flows.deploy.server import start_server
    from flows.prefect_guard import refuse_open_server
    from flows.prefect_home import prefect_api_url, use_prefect

    settings = o.settings_from(home)
    refuse_open_server(settings)
    url = prefect_api_url(settings).removesuffix("/api")
    if url:
        say(url)
        if browser:
            webbrowser.open(url)
        return 0
    signal.signal(signal.SIGTERM, _as_interrupt)
    use_prefect(settings)
    os.environ.pop("PREFECT_API_URL", None)
    # Links of past runs lead there.
    files = None if settings.deliveries_url else FileServer(deliveries_folder(settings), port + 1)
    server = start_server(settings, port)
    try:
        server.wait()
        say(f"{server.ui_url}  (Ctrl-C ends it)")
        if browser:
            webbrowser.open(server.ui_url)
        server.process.wait()
    finally:
        server.stop()
        if files is not None:
            files.stop()
    return 0


def _as_interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt
