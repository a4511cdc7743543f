"""A production installation uses no Prefect server that anybody may use."""

from __future__ import annotations

import urllib.error
import urllib.request
from http import HTTPStatus

from flows.prefect_home import prefect_api_url
from schemas.errors import Refused
from schemas.settings import Settings

_CLOSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def refuse_open_server(settings: Settings, *, timeout_s: float = 5.0) -> None:
    """With the profile `production`: credentials are set, and the server turns away who has none.

    Raises:
        Refused: it is open, or would be started open.
    """
    if settings.profile != "production":
        return
    auth = settings.prefect_auth.get_secret_value()
    if ":" not in auth or not auth.partition(":")[2]:
        raise Refused(
            "the profile is production and no credentials for Prefect are set",
            fix="set CALLSHEET_PREFECT_AUTH to user:password, here and as PREFECT_SERVER_API_AUTH_STRING of the server",
        )
    url = prefect_api_url(settings)
    if not url and not settings.prefect_csrf:
        raise Refused(
            "the profile is production and the server to be started would take forged requests",
            fix="set CALLSHEET_PREFECT_CSRF=true",
        )
    if url and _is_open(url, timeout_s):
        raise Refused(
            f"the profile is production and the Prefect server at {url} answers anybody",
            fix="start it with PREFECT_SERVER_API_AUTH_STRING set",
        )


def _is_open(url: str, timeout_s: float) -> bool:
    """Whether a question without credentials is answered. A server that is away is not open."""
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/admin/version", timeout=timeout_s) as answer:  # noqa: S310 - scheme checked
            return bool(answer.status == HTTPStatus.OK)
    except urllib.error.HTTPError as error:
        return error.code not in _CLOSED
    except (urllib.error.URLError, OSError, ValueError):
        return False
