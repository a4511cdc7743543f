"""From an installation's settings to its ledger, its store and its scratch folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import InvalidSettings
from schemas.settings import ResolvedSettings, Settings, resolve

if TYPE_CHECKING:
    from storage.ledger.protocol import Ledger
    from storage.objects.protocol import ObjectStore

CONFIG_VARIABLE = "CALLSHEET_CONFIG"
CONFIG_NAME = "callsheet.toml"


def load_settings(
    environ: Mapping[str, str], *, flags: Mapping[str, Any] | None = None, folder: Path | None = None
) -> ResolvedSettings:
    """Settings from the file that CALLSHEET_CONFIG names, else `callsheet.toml` in `folder` (default: the current
    one) if there is one; then variables, then flags.

    Raises:
        InvalidSettings: the named file cannot be read, or a setting is unknown or impossible.
    """
    named = environ.get(CONFIG_VARIABLE)
    path = Path(named) if named else (folder or Path.cwd()) / CONFIG_NAME
    try:
        text = path.read_text(encoding="utf-8") if named or path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(
            f"the settings file {path} cannot be read: {error}", fix=f"correct {CONFIG_VARIABLE} or the file"
        ) from error
    return resolve(toml_text=text, toml_name=str(path), environ=environ, flags=flags)


def home_folder(settings: Settings) -> Path:
    """The state folder as an absolute path; it need not exist."""
    return Path(settings.home).expanduser().absolute()


def ledger_url(settings: Settings) -> str:
    """SQLAlchemy URL of the ledger: as set, else a SQLite file in the state folder. May hold a password."""
    return settings.database_url.get_secret_value() or f"sqlite:///{home_folder(settings) / 'ledger.db'}"


def store_url(settings: Settings) -> str:
    """URL of the object store: as set, else a directory in the state folder. Holds no secret."""
    return settings.store_url or (home_folder(settings) / "objects").as_uri()


def scratch_folder(settings: Settings) -> Path:
    """Where temporary files go, made if need be.

    Raises:
        InvalidSettings: it cannot be made.
    """
    named = Path(settings.scratch).expanduser().absolute() if settings.scratch else None
    return _make(named or home_folder(settings) / "scratch", "scratch")


def open_ledger_of(settings: Settings, *, create: bool = True) -> Ledger:
    """The installation's ledger, made if there is none and upgraded if it is older.

    Without `create` only the embedded SQLite file is made; any other database must have its tables. That is for
    workers: their database role only claims and completes.

    Raises:
        Incompatible: its schema is not one that this program can work on.
        InvalidSettings: the address cannot be used.
        Retryable: the database is away.
    """
    from storage.ledger.open import open_ledger
    from storage.ledger.options import LedgerOptions

    url = ledger_url(settings)
    if is_embedded := url.startswith("sqlite"):
        make_home(settings)
    options = LedgerOptions(head_start_s=settings.head_start_s, priority_bonus_s=settings.priority_bonus_s)
    return open_ledger(url, options=options, create=create or is_embedded)


def ledger_exists(settings: Settings) -> bool:
    """Whether there is something to open: False only where the ledger is a file that nobody has made yet."""
    file = ledger_file(settings)
    return file is None or file.exists()


def ledger_file(settings: Settings) -> Path | None:
    """The file that the ledger is; None where it is on a server."""
    from storage.ledger.sql.engine import parse_url, sqlite_file

    return sqlite_file(parse_url(ledger_url(settings)))


def open_store_of(settings: Settings) -> ObjectStore:
    """The installation's object store; nothing is asked of it yet.

    Raises:
        InvalidSettings: the address cannot be used, or S3's settings are incomplete.
    """
    from storage.objects.open import open_store

    return open_store(
        store_url(settings),
        endpoint=settings.s3_endpoint,
        access_key=settings.s3_access_key.get_secret_value(),
        secret_key=settings.s3_secret_key.get_secret_value(),
        region=settings.s3_region,
    )


def make_home(settings: Settings) -> Path:
    """The state folder, made if need be.

    Raises:
        InvalidSettings: it cannot be made.
    """
    return _make(home_folder(settings), "home")


def _make(folder: Path, setting: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSettings(
            f"the folder {folder} cannot be made: {error}", fix=f"name another one with `{setting}`"
        ) from error
    return folder
