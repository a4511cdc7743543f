"""Servers that the fetcher meets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hostile_references import inside  # noqa: F401  # fixture
from tests.support.s3 import rclone_s3  # noqa: F401  # fixture
from tests.support.tls_server import Authority, TlsServer, authority, serve_tls  # noqa: F401  # fixture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The sheet's folder, with a secret beside it."""
    folder = tmp_path / "sheet"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


@pytest.fixture
def server(authority: Authority) -> Iterator[TlsServer]:  # noqa: F811  # the fixture above
    with serve_tls(authority) as server:
        yield server
