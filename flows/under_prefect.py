"""Whether the flows of a verb can run under Prefect. To be asked before anything imports `prefect`."""

from __future__ import annotations

import os

from flows.embedded_prefect import start_embedded
from flows.prefect_guard import refuse_open_server
from flows.prefect_home import is_reachable, prefect_api_url, use_prefect
from flows.where import use_settings
from schemas.errors import Retryable
from schemas.redaction import public_address
from schemas.settings import Settings


def require_prefect(settings: Settings) -> None:
    """Point this process at the configured server, or at one that is started for it.

    Raises:
        Refused: the profile is production and the server is open to anybody.
        Retryable: no server answers; flows of this process cannot run under Prefect.
    """
    refuse_open_server(settings)
    use_settings(settings)
    use_prefect(settings)
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    url = prefect_api_url(settings)
    if not url:
        start_embedded(settings)
    elif not is_reachable(url):
        raise Retryable(
            f"Prefect does not answer at {public_address(url)}",
            fix="start it, or set CALLSHEET_PREFECT_API_URL to nothing: one is then started for the run",
        )
