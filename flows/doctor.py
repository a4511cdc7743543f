"""What stands and what does not on this installation: one finding per part, each with its fix."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.prefect_home import is_reachable, prefect_api_url
from media.ffmpeg import ffmpeg_binary, ffmpeg_version
from schemas.errors import CallsheetError
from schemas.manifest.wording import counted
from schemas.model_spec import engine_specs, models
from schemas.redaction import Redactor, public_address
from schemas.settings import Settings
from storage.file_systems import shared_file_system
from storage.places import ledger_file, open_ledger_of, open_store_of, scratch_folder

LOW_DISK_BYTES = 5 * 2**30


@dataclass(frozen=True, kw_only=True)
class Finding:
    name: str
    ok: bool
    text: str
    fix: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Every check, each on its own: one that fails hides no other."""
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("database", _database),
        ("object store", _store),
        ("scratch", _scratch),
        ("ffmpeg", _ffmpeg),
        ("Prefect", _prefect),
        ("cluster", _cluster),
        ("models", _models),
        ("GPU", _gpu),
    ]
    redact = Redactor.of(settings)
    return [_finding(name, check, settings, redact) for name, check in checks]


def _finding(name: str, check: Callable[[Settings], str], settings: Settings, redact: Redactor) -> Finding:
    try:
        return Finding(name=name, ok=True, text=redact(check(settings)))
    except CallsheetError as error:
        return Finding(name=name, ok=False, text=redact(error.message), fix=redact(error.fix))
    except Exception as error:  # noqa: BLE001 - a broken part is a finding, not the end of the examination
        text = redact(f"{type(error).__name__}: {error}")
        return Finding(name=name, ok=False, text=text, fix="see docs/settings.md")


def _database(settings: Settings) -> str:
    ledger = open_ledger_of(settings)
    try:
        campaigns = counted(len(ledger.campaigns()), "campaign")
    finally:
        ledger.close()
    file = ledger_file(settings)
    if file is None:
        return f"PostgreSQL, {campaigns}"
    found = f"SQLite, {campaigns}"
    if shared := shared_file_system(file):
        # Its log is kept together by memory that the processes of one machine share (sqlite.org/wal.html).
        found += f", on {shared}: work on it from this machine alone; workers of several machines need PostgreSQL"
    return found


def _store(settings: Settings) -> str:
    store = open_store_of(settings)
    store.check()
    return f"{store.url}: wrote, read back and deleted a probe"


def _scratch(settings: Settings) -> str:
    folder = scratch_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < LOW_DISK_BYTES:
        raise CallsheetError(
            f"{folder} has {free / 2**30:.1f} GiB free", fix="free some space, or set CALLSHEET_SCRATCH"
        )
    return f"{folder}, {free / 2**30:.0f} GiB free"


def _ffmpeg(_: Settings) -> str:
    return f"{ffmpeg_binary()}: {ffmpeg_version()}"


def _prefect(settings: Settings) -> str:
    url = prefect_api_url(settings)
    if not url:
        return "none configured: one is started for each run"
    if not is_reachable(url):
        raise CallsheetError(
            f"no answer at {public_address(url)}",
            fix="start the server, or correct CALLSHEET_PREFECT_API_URL; runs go on without it",
        )
    return f"{public_address(url)} answers"


def _cluster(_: Settings) -> str:
    inside = Path("/var/run/secrets/kubernetes.io/serviceaccount/token").is_file()
    configured = (Path.home() / ".kube" / "config").is_file()
    return "in a pod" if inside else "a kubeconfig is there" if configured else "none: workers run on this machine"


def _models(_: Settings) -> str:
    return f"models {', '.join(sorted(models()))}; engines {', '.join(sorted(engine_specs()))}"


def _gpu(_: Settings) -> str:
    devices = sorted(Path("/dev").glob("nvidia[0-9]*"))
    if devices:
        return f"{len(devices)} NVIDIA devices"
    torch = "torch is installed" if importlib.util.find_spec("torch") else "no torch"
    return f"none ({torch}); the engine animatic needs none"
