"""The stores of the conformance suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.objects.directory import DirectoryStore
from storage.objects.memory import MemoryStore
from storage.objects.protocol import ObjectStore
from tests.support.s3 import S3Server, radosgw_s3, rclone_s3  # noqa: F401  # fixtures
from tests.support.tls_server import authority  # noqa: F401  # fixture


@pytest.fixture(params=["memory", "directory", "rclone", pytest.param("radosgw", marks=pytest.mark.radosgw)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store, once on each implementation."""
    match request.param:
        case "memory":
            return MemoryStore()
        case "directory":
            return DirectoryStore(tmp_path / "objects")
        case name:
            server: S3Server = request.getfixturevalue(f"{name}_s3")
            return server.store()
