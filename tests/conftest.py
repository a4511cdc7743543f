"""Rules for all tests: where they run in CI none may be skipped, and what takes long is run at length on demand."""

from __future__ import annotations

import os

import pytest

from tests.support.prefect_database import prefect_database_folder
from tests.support.scheduling import Schedule, make_schedule, put_first

__all__ = ["prefect_database_folder"]

PREFECT = "tests/flows/prefect/"
"""Where every test looks at a Prefect server; a few elsewhere bear the mark themselves."""

# Tensors are small, and several tests run side by side: a second thread, here or in a process that a test starts, only
# waits for the first. Before anything imports torch, which looks once.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fail-on-skip", action="store_true", help="a skipped test fails the run: for machines where all must run"
    )
    parser.addoption("--long-run", action="store_true", help="every test at full length, and those that are only long")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Schedule:
    return make_schedule(config, log)


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.nodeid.startswith(PREFECT):
        item.add_marker("prefect")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    put_first(items)
    if config.getoption("--long-run"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def long_run(pytestconfig: pytest.Config) -> bool:
    """Whether a test that has a short form should do all of it."""
    return bool(pytestconfig.getoption("--long-run"))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not session.config.getoption("--fail-on-skip") or reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"{len(skipped)} tests were skipped where all must run", red=True)
