"""What the tests of Prefect use."""

from tests.support.browser import browser, visitor
from tests.support.prefect_server import prefect_server

__all__ = ["browser", "prefect_server", "visitor"]
