"""Real S3 servers on loopback: `rclone serve s3` (a wheel, always there) and Ceph RadosGW (Debian's packages)."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio

from storage.objects.patience import Patience
from storage.objects.s3 import S3Store
from tests.support.ceph import ceph_with_radosgw, missing_programs

BUCKET = "callsheet"
IMPATIENT = Patience(attempts=4, base_s=0.02, cap_s=0.1, connect_s=1.0, read_s=5.0, request_s=10.0)
UP_WITHIN_S = 20.0


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """One running server with one bucket; `endpoint` as `http://host:port`."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    bucket: str = BUCKET
    folder: Path | None = None
    """Where the server keeps its buckets as plain folders, if it does so."""

    @property
    def client(self) -> Minio:
        """The plain client, without anything of ours."""
        return Minio(
            self.endpoint.removeprefix("http://"),
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=False,
            region="us-east-1",
        )

    def store(self, prefix: str | None = None, *, patience: Patience | None = None) -> S3Store:
        """Our store on a prefix of the bucket, a new one unless it is named; impatient unless told otherwise."""
        return S3Store(
            self.bucket,
            self.new_prefix() if prefix is None else prefix,
            endpoint=self.endpoint,
            access_key=self.access_key,
            secret_key=self.secret_key,
            patience=patience or IMPATIENT,
        )

    def new_prefix(self) -> str:
        """A prefix of the bucket that nobody else uses."""
        return f"t-{secrets.token_hex(6)}"

    def variables(self) -> dict[str, str]:
        """The environment that points an installation at a new prefix of this server."""
        return {
            "CALLSHEET_STORE_URL": f"s3://{self.bucket}/{self.new_prefix()}",
            "CALLSHEET_S3_ENDPOINT": self.endpoint,
            "CALLSHEET_S3_ACCESS_KEY": self.access_key,
            "CALLSHEET_S3_SECRET_KEY": self.secret_key,
        }


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """`rclone serve s3` over a temporary folder, with keys."""
    folder = tmp_path_factory.mktemp("rclone-s3")
    (folder / BUCKET).mkdir()
    with serve_rclone(folder) as server:
        yield server


@pytest.fixture(scope="session")
def radosgw_s3() -> Iterator[S3Server]:
    """RadosGW over a real Ceph; mark the test `radosgw`. Skipped where Ceph is not installed."""
    if missing := missing_programs():
        pytest.skip(f"Ceph is not installed: {', '.join(missing)}")
    with ceph_with_radosgw(secrets.token_hex(10), secrets.token_hex(20)) as gateway:
        server = S3Server(
            name="radosgw",
            endpoint=gateway.endpoint,
            access_key=gateway.access_key,
            secret_key=gateway.secret_key,
        )
        server.client.make_bucket(BUCKET)
        yield server


@contextmanager
def serve_rclone(folder: Path) -> Iterator[S3Server]:
    """Serve every folder in `folder` as a bucket."""
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    port = _free_port()
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(Path(sysconfig.get_path("scripts")) / "rclone"), "serve", "s3", str(folder),
                "--addr", f"127.0.0.1:{port}", "--auth-key", f"{access_key},{secret_key}",
                "--config", "",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait_until_it_listens(process, port)
            yield S3Server(
                name="rclone",
                endpoint=f"http://127.0.0.1:{port}",
                access_key=access_key,
                secret_key=secret_key,
                folder=folder,
            )
        finally:
            process.terminate()
            process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + UP_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"rclone does not serve on port {port} (exit status {process.poll()})")
