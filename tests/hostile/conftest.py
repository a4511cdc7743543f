"""What the hostile tests share, and the figures that they end with."""

from __future__ import annotations

import pytest

from tests.support.hostile_references import inside
from tests.support.hostile_runs import FIGURES
from tests.support.media_files import hit_counter
from tests.support.postgres import postgres
from tests.support.s3 import rclone_s3

__all__ = ["hit_counter", "inside", "postgres", "rclone_s3"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for figures in FIGURES:
        terminalreporter.write_line(str(figures))
