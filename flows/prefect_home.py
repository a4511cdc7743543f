"""Where Prefect lives for this process. Call `use_prefect` before anything imports `prefect`: it reads its
settings once, at import."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

from schemas.settings import Settings

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def bypass_proxies() -> None:
    """Reach servers on this machine directly, whatever proxy the environment names for all others."""
    named = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    # Both, as each client reads the one or the other.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, (named, *_LOOPBACK)))


def prefect_api_url(settings: Settings) -> str:
    """The configured server, or empty when one is started for the run."""
    return settings.prefect_api_url or os.environ.get("PREFECT_API_URL", "")


def use_prefect(settings: Settings) -> None:
    """Point this process at the configured server, or at an embedded one whose state lies under the home folder."""
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # The run's story goes to the server; the terminal has its own.
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        # The default of 5 gives up after about 80 s and leaves the run RUNNING for ever.
        "PREFECT_CLIENT_MAX_RETRIES": "20",
        "PREFECT_CLI_PROMPT": "false",
        # A living run says so; the automation `callsheet: silent runs` acts on silence.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(settings.heartbeat_s),
    }
    auth = settings.prefect_auth.get_secret_value()
    if auth:
        # The second is for a server that this process starts.
        defaults |= {"PREFECT_API_AUTH_STRING": auth, "PREFECT_SERVER_API_AUTH_STRING": auth}
    if settings.prefect_csrf:
        defaults |= {"PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true", "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true"}
    url = prefect_api_url(settings)
    if url:
        defaults["PREFECT_API_URL"] = url
    else:
        home = Path(settings.home).resolve() / "prefect"
        home.mkdir(parents=True, exist_ok=True)
        defaults |= {
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def is_reachable(url: str, *, timeout_s: float = 3.0) -> bool:
    """Whether a Prefect API answers at `url` (`http(s)://host:port/api`)."""
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=timeout_s) as answer:  # noqa: S310 - scheme checked
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False
