"""What the tests of Prefect use."""

from tests.support.browser import browser, page
from tests.support.prefect_server import prefect_server

__all__ = ["browser", "page", "prefect_server"]
