"""Verbs around the campaigns: export, worker, doctor."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from flows.cli import options as o
from flows.cli.console import bar, emit_json, keep_secrets_of, say, table
from flows.cli.verb import add
from flows.doctor import Finding, examine
from flows.where import resolve_settings
from schemas.redaction import public_address, secret_names
from schemas.settings import ResolvedSettings, environment, setting_names
from storage.places import open_ledger_of, open_store_of


def register(app: typer.Typer) -> None:
    add(app, export)
    # Their own parsers answer, --help included.
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    add(app, worker, context_settings=passed_on)
    add(app, model, context_settings=passed_on)
    add(app, doctor)


def export(
    campaign: o.CampaignName,
    out: Annotated[Path, typer.Option("--out", help="Folder for results.csv, index.html, report.md and videos.")],
    presign: Annotated[
        str | None,
        typer.Option("--presign", help="Write links that work without credentials for so long: 7d, 12h."),
    ] = None,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Write the deliverables of a campaign as it stands now; run it again to bring them up to date."""
    from flows.delivery import deliver

    settings = o.settings_from(home)
    with closing(open_ledger_of(settings)) as ledger, bar(quiet=as_json) as shown:
        found = ledger.campaign(campaign)
        delivery = deliver(
            ledger,
            open_store_of(settings),
            found.campaign_id,
            out,
            presign_s=o.parse_duration(presign) if presign else None,
            report=shown,
        )
    if as_json:
        emit_json(delivery.as_dict())
    else:
        say(f"exported to {out}")
        say(delivery.final_line)
    return 0


def worker(context: typer.Context) -> int:
    """Run a worker in the foreground: it leases clips and renders them; `worker --help` lists its options."""
    return _become_runtime("worker", context.args)


def model(context: typer.Context) -> int:
    """Fetch, convert, verify and list models' weights; `model --help` lists the commands."""
    return _become_runtime("model", context.args)


def _become_runtime(command: str, arguments: list[str]) -> NoReturn:
    program = [sys.executable, "-m", "model_runtime", command, *arguments]
    os.execv(sys.executable, program)  # noqa: S606 - our own interpreter


def doctor(home: o.Home = None, as_json: o.Json = False) -> int:
    """Check each part, one line each with the fix, and print the settings that are not default."""
    resolved = resolve_settings({"home": home})
    keep_secrets_of(resolved.settings)
    findings = examine(resolved.settings)
    if as_json:
        emit_json({"checks": [finding.as_dict() for finding in findings], "settings": _settings_rows(resolved)})
    else:
        _show(findings, resolved)
    return 0 if all(finding.ok for finding in findings) else 1


def _show(findings: list[Finding], resolved: ResolvedSettings) -> None:
    table(["", "check", "what was found"], [("ok" if f.ok else "--", f.name, f.text) for f in findings])
    for finding in findings:
        if not finding.ok:
            say(f"{finding.name}: fix: {finding.fix}")
    say()
    table(
        ["setting", "value", "from"],
        [(row["setting"], row["value"], row["from"]) for row in _settings_rows(resolved) if row["from"] != "default"],
    )
    say("every other setting has its default; docs/settings.md lists them")


def _settings_rows(resolved: ResolvedSettings) -> list[dict[str, str]]:
    values = environment(resolved.settings)
    rows = []
    for name, value in zip(setting_names(), values.values(), strict=True):
        shown = mask(name, value)
        rows.append({"setting": name, "value": shown, "from": resolved.sources.get(name, "default")})
    return rows


def mask(name: str, value: str) -> str:
    """Secrets as stars; of an address everything but its secrets."""
    return ("********" if value else "") if name in secret_names() else public_address(value)
