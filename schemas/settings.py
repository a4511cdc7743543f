"""What an installation is told once: where state, ledger and objects are, and the limits.

Values come from `callsheet.toml`, then `CALLSHEET_*` variables, then flags; the later one wins and its source is
remembered, so that `doctor` can say where each value came from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from schemas.errors import InvalidSettings

PREFIX = "CALLSHEET_"


class Limits(BaseModel):
    """What a stranger's sheet may ask for. Sizes in bytes or pixels, times in seconds, rates in Hz."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    manifest_bytes: int = Field(default=256 * 2**20, gt=0)
    """Largest sheet, in bytes."""
    manifest_rows: int = Field(default=200_000, gt=0)
    """Most rows of a sheet."""
    cell_chars: int = Field(default=32_768, gt=0)
    """Longest cell, in characters."""
    prompt_chars: int = Field(default=4_000, gt=0)
    """Longest prompt after filling placeholders, in characters."""
    image_bytes: int = Field(default=64 * 2**20, gt=0)
    """Largest picture file, in bytes."""
    image_min_side: int = Field(default=64, gt=0)
    """Smallest side of a picture, in pixels."""
    image_max_pixels: int = Field(default=40_000_000, gt=0)
    """Most pixels of a picture, known before it is decoded."""
    images_per_row: int = Field(default=12, gt=0)
    """Most reference pictures of a row."""
    audio_bytes: int = Field(default=256 * 2**20, gt=0)
    """Largest speech file, in bytes."""
    audio_min_s: float = Field(default=0.2, gt=0)
    """Shortest speech, in decoded seconds."""
    audio_max_s: float = Field(default=600.0, gt=0)
    """Longest speech, in decoded seconds."""
    audio_min_rate: int = Field(default=8_000, gt=0)
    """Lowest sample rate, in Hz."""
    audio_max_rate: int = Field(default=192_000, gt=0)
    """Highest sample rate, in Hz."""
    audio_max_channels: int = Field(default=8, gt=0)
    """Most channels of a speech file."""
    audio_silent_dbfs: float = Field(default=-60.0, lt=0)
    """A file whose loudest 100 ms stay below this RMS level is silent."""
    fetch_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds until a fetch over the network is given up."""


class Settings(BaseModel):
    """One installation. Secrets are `SecretStr` and never printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    home: str = ".callsheet"
    """State folder: ledger, objects, scratch and the embedded Prefect."""
    database_url: SecretStr = SecretStr("")
    """SQLAlchemy URL; empty: a SQLite file under `home`."""
    store_url: str = ""
    """`file:///...` or `s3://bucket/prefix`; empty: a directory under `home`."""
    s3_endpoint: str = ""
    """`http(s)://host:port` of the S3 server."""
    s3_access_key: SecretStr = SecretStr("")
    """Access key of the S3 server."""
    s3_secret_key: SecretStr = SecretStr("")
    """Secret key of the S3 server."""
    s3_region: str = "us-east-1"
    """Region that requests are signed for."""
    fetch_hosts: tuple[str, ...] = ()
    """Hosts that `https://` references may name."""
    fetch_buckets: tuple[str, ...] = ()
    """Buckets that `s3://` references may name, besides the store's own inbox."""
    scratch: str = ""
    """Folder for temporary files; empty: under `home`."""
    weights: str = "weights"
    """Folder with the models' weights and their lock files."""
    lease_ttl_s: float = Field(default=90.0, gt=0, le=3600)
    """Seconds a lease lives without a heartbeat; 60 to 120 in production."""
    head_start_s: float = Field(default=120.0, ge=0)
    """How far behind a job of the warm bucket may be and still be taken first."""
    priority_bonus_s: float = Field(default=3600.0, ge=0)
    """Seconds in the queue that one step of priority is worth."""
    executor: str = Field(default="process", pattern="^(inline|process|dask)$")
    """Where the CPU stages run: `inline`, `process` or `dask`."""
    dask_scheduler: str = ""
    """Address of a Dask scheduler; empty: a LocalCluster."""
    stage_workers: int = Field(default=0, ge=0)
    """Processes for the CPU stages; 0: one per core."""
    prefect_api_url: str = ""
    """A Prefect server to show runs on; empty: PREFECT_API_URL, else one started for the run."""
    prefect_auth: SecretStr = SecretStr("")
    """`user:password` of the Prefect server, for those who ask it and for the one that `callsheet up` starts."""
    prefect_csrf: bool = False
    """Whether the Prefect server wants a token against forged requests with every change."""
    prefect_every_s: float = Field(default=2.0, gt=0, le=60)
    """Seconds between two looks of a campaign's flow at the ledger for what Prefect shows."""
    prefect_patience_s: float = Field(default=900.0, ge=0)
    """Seconds that a finished campaign's flow waits for a Prefect server that is away."""
    heartbeat_s: int = Field(default=30, ge=30, le=3600)
    """Seconds between two signs of life of a flow run; four without one and the run is shown as crashed."""
    profile: str = Field(default="local", pattern="^(local|production)$")
    """`local` or `production`; `production` refuses a Prefect server that anybody may use."""
    inbox_url: str = ""
    """`file:///...` or `s3://bucket/prefix` that sheets are dropped into; empty: `inbox` in an S3 store, else under
    `home`."""
    inbox_every: float = Field(default=60.0, ge=1)
    """Seconds between two sweeps of the inbox."""
    inbox_quiet_s: float = Field(default=5.0, ge=0, le=600)
    """Seconds that a sheet and its files must lie unchanged before they are taken."""
    inbox_patience_s: float = Field(default=900.0, ge=0)
    """Seconds that a sheet waits for files which it names and which are not there yet."""
    deliveries: str = ""
    """Folder that flows write the deliverables of ended campaigns to; empty: `deliveries` under `home`."""
    deliveries_url: str = ""
    """Address under which browsers find that folder; links in Prefect start with it."""
    timezone: str = "UTC"
    """IANA time zone that nightly schedules follow."""
    retention_days: float = Field(default=0.0, ge=0)
    """Days after which swept sheets, exported deliverables and finished Prefect runs are removed; 0: never."""
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`."""
    limits: Limits = Limits()
    """What a stranger's sheet may ask for."""


@dataclass(frozen=True, kw_only=True)
class ResolvedSettings:
    """The settings in force and, by dotted name, where each value came from."""

    settings: Settings
    sources: Mapping[str, str]


def resolve(
    *,
    toml_text: str = "",
    toml_name: str = "callsheet.toml",
    environ: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
) -> ResolvedSettings:
    """Merge the three sources; unknown keys of any are errors.

    A nested key is `[limits] image_bytes` in TOML and `CALLSHEET_LIMITS_IMAGE_BYTES` in the environment; a list is
    comma-separated there. Flags whose value is None were not given.

    Raises:
        InvalidSettings: naming every unknown key and impossible value at once, and its source.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    errors: list[str] = []
    for name, value, source in [
        *_from_toml(toml_text, toml_name, errors),
        *_from_environ(environ, errors),
        *_from_flags(flags or {}),
    ]:
        group, _, leaf = name.rpartition(".")
        target = merged.setdefault(group, {}) if group else merged
        target[leaf] = value
        sources[name] = source
    settings = Settings()
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            name = ".".join(str(part) for part in fault["loc"])
            errors.append(f"{name} (from {sources.get(name, 'the settings')}): {fault['msg']}")
    if errors:
        raise InvalidSettings(
            "the settings cannot be used:\n  " + "\n  ".join(errors),
            fix="correct the named settings; docs/settings.md lists all of them",
        )
    return ResolvedSettings(settings=settings, sources=sources)


def setting_names() -> tuple[str, ...]:
    """Every setting by its dotted name."""
    plain = [name for name in Settings.model_fields if name != "limits"]
    return (*plain, *(f"limits.{name}" for name in Limits.model_fields))


def variable(name: str) -> str:
    """The environment variable of a dotted setting name."""
    return PREFIX + name.replace(".", "_").upper()


def environment(settings: Settings) -> dict[str, str]:
    """All settings as variables for a child process, so that neither its file nor its folder changes them."""
    return {variable(name): _as_text(_get(settings, name)) for name in setting_names()}


def _get(settings: Settings, name: str) -> Any:
    group, _, leaf = name.rpartition(".")
    return getattr(getattr(settings, group) if group else settings, leaf)


def _as_text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _from_toml(text: str, name: str, errors: list[str]) -> list[tuple[str, Any, str]]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        errors.append(f"{name} is not TOML: {error}")
        return []
    found = []
    for key, value in data.items():
        items = [(f"{key}.{k}", v) for k, v in value.items()] if isinstance(value, dict) else [(key, value)]
        for dotted, item in items:
            if dotted in setting_names():
                found.append((dotted, item, name))
            else:
                errors.append(_unknown(dotted, name))
    return found


def _from_environ(environ: Mapping[str, str], errors: list[str]) -> list[tuple[str, Any, str]]:
    by_variable = {variable(name): name for name in setting_names()}
    found: list[tuple[str, Any, str]] = []
    for key in sorted(environ):
        if not key.startswith(PREFIX) or key in OTHER_VARIABLES:
            continue
        name = by_variable.get(key)
        if name is None:
            errors.append(_unknown(key, "the environment"))
            continue
        value: Any = environ[key]
        if isinstance(_get(Settings(), name), tuple):
            value = tuple(part.strip() for part in value.split(",") if part.strip())
        found.append((name, value, key))
    return found


OTHER_VARIABLES = frozenset({"CALLSHEET_HUMO_FIXTURES", "CALLSHEET_CONFIG", "CALLSHEET_FFMPEG"})
"""Variables of that prefix which are no settings: paths that tests, the command line and media look at."""


def _from_flags(flags: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    return [(name, value, f"--{name.replace('_', '-')}") for name, value in flags.items() if value is not None]


def _unknown(key: str, source: str) -> str:
    import difflib

    names = [*setting_names(), *(variable(name) for name in setting_names())]
    close = difflib.get_close_matches(key, names, n=1)
    return f"{key} (from {source}): no such setting" + (f"; did you mean {close[0]}?" if close else "")
