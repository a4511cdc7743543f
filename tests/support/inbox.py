"""An installation with an inbox: a folder, or an S3 prefix on a real server."""

from __future__ import annotations

import io
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio

from flows.inbox.place import InboxPlace, open_inbox
from flows.inbox.sweep import Outcome, sweep
from schemas.settings import Settings, resolve
from storage.places import open_ledger_of
from tests.support.cli import write_picture
from tests.support.s3 import S3Server

SHEET = "row_id,prompt,image,duration,width,height\nr1,a person waits,face.png,0.4,256,256\n"
TOML = 'engine = "pattern"\nmodel = "humo-1.7B"\n'


@dataclass
class InboxBench:
    """Put files in, sweep, and see where they went; the same for both kinds of inbox."""

    settings: Settings
    folder: Path
    s3: S3Server | None = None

    @property
    def place(self) -> InboxPlace:
        return open_inbox(self.settings)

    def put(self, name: str, content: str | bytes, *, age_s: float = 60) -> None:
        data = content.encode() if isinstance(content, str) else content
        if self.s3 is not None:
            self._client.put_object(self._bucket, f"{self._prefix}/{name}", io.BytesIO(data), len(data))
            return
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        when = path.stat().st_mtime - age_s
        os.utime(path, (when, when))

    def put_drop(self, folder: str = "", sheet: str = SHEET, name: str = "spring.csv") -> None:
        at = f"{folder}/" if folder else ""
        self.put(f"{at}{name}", sheet)
        self.put(f"{at}campaign.toml", TOML)
        self.put(f"{at}face.png", write_picture(self.folder.parent / "pictures").read_bytes())

    def names(self) -> list[str]:
        """Every file of the inbox, what is done and refused included."""
        if self.s3 is not None:
            found = self._client.list_objects(self._bucket, prefix=f"{self._prefix}/", recursive=True)
            return sorted(str(entry.object_name)[len(self._prefix) + 1 :] for entry in found)
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())

    def read(self, name: str) -> str:
        if self.s3 is not None:
            answer = self._client.get_object(self._bucket, f"{self._prefix}/{name}")
            try:
                return str(answer.data.decode())
            finally:
                answer.close()
        return (self.folder / name).read_text(encoding="utf-8")

    def sweep(self, settings: Settings | None = None) -> list[Outcome]:
        return sweep(self.place, settings or self.settings, submitted=lambda _: None, pause=lambda _: None)

    def campaigns(self) -> list[str]:
        with closing(open_ledger_of(self.settings)) as ledger:
            return [campaign.name for campaign in ledger.campaigns()]

    @property
    def _client(self) -> Minio:
        assert self.s3 is not None
        address = self.s3.endpoint.removeprefix("http://")
        return Minio(address, access_key=self.s3.access_key, secret_key=self.s3.secret_key, secure=False)

    @property
    def _bucket(self) -> str:
        assert self.s3 is not None
        return self.s3.bucket

    @property
    def _prefix(self) -> str:
        return self.settings.inbox_url.removeprefix(f"s3://{self._bucket}/")


@pytest.fixture(params=["folder", "s3"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> InboxBench:
    folder = tmp_path / "inbox"
    environ = {"CALLSHEET_HOME": str(tmp_path / "home"), "CALLSHEET_INBOX_QUIET_S": "0", "CALLSHEET_EXECUTOR": "inline"}
    server: S3Server | None = None
    if request.param == "s3":
        server = request.getfixturevalue("rclone_s3")
        environ |= server.variables()
        environ["CALLSHEET_INBOX_URL"] = f"{environ['CALLSHEET_STORE_URL']}/drops"
        folder.mkdir()
    else:
        environ["CALLSHEET_INBOX_URL"] = folder.as_uri()
    return InboxBench(settings=resolve(environ=environ).settings, folder=folder, s3=server)
