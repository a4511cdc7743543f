"""A model hub over HTTP: serves folders as repositories, the way huggingface_hub asks for them.

It can break a download off, once, after so many bytes, or hold it there until it is released.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LARGE = (".safetensors", ".pth", ".model")
_PIECE = 1 << 16


@dataclass
class Hub:
    """Repositories by id; `requests` are the files' GETs as (path, Range header), `sent` the bytes of their bodies."""

    folders: dict[str, Path]
    endpoint: str = ""
    revision: str = "1" * 40
    cut_after: dict[str, int] = field(default_factory=dict)
    hold_after: dict[str, int] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    sent: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def forget(self) -> None:
        """Count anew. An answer that is still on its way, to a client that has gone, counts with the old ones."""
        self.requests, self.sent = [], {}

    def listing(self, repository: str) -> dict[str, object]:
        folder = self.folders[repository]
        files = sorted(path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
        return {
            "id": repository,
            "modelId": repository,
            "sha": self.revision,
            "siblings": [self._sibling(folder, path) for path in files],
        }

    def _sibling(self, folder: Path, path: Path) -> dict[str, object]:
        data = path.read_bytes()
        entry: dict[str, object] = {
            "rfilename": path.relative_to(folder).as_posix(),
            "size": len(data),
            "blobId": _blob(data),
        }
        if path.suffix in _LARGE:
            entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        return entry


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def running_hub(folders: dict[str, Path]) -> Iterator[Hub]:
    """Serve until the block ends; `endpoint` is its address."""
    hub = Hub(folders=folders)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._file(body=False)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if not path.startswith("/api/models/"):
            self._file(body=True)
            return
        repository = "/".join(path.split("/")[3:5])
        if repository not in self.hub.folders:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        self._answer(200, json.dumps(self.hub.listing(repository)).encode(), {"Content-Type": "application/json"})

    def _file(self, *, body: bool) -> None:
        owner, name, resolve, revision, *rest = unquote(urlsplit(self.path).path).strip("/").split("/")
        inside = "/".join(rest)
        path = self.hub.folders.get(f"{owner}/{name}", Path("/nowhere")) / inside
        if resolve != "resolve" or revision != self.hub.revision or not path.is_file():
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        data = path.read_bytes()
        etag = hashlib.sha256(data).hexdigest() if path.suffix in _LARGE else _blob(data)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": revision, "Accept-Ranges": "bytes"}
        if not body:
            self._answer(200, b"", headers | {"Content-Length": str(len(data))})
            return
        asked = self.headers.get("Range", "")
        self.hub.requests.append((inside, asked))
        sent = self.hub.sent
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._head(206 if asked else 200, {"Content-Length": str(len(data) - start)} | headers)
        cut, hold = self.hub.cut_after.pop(inside, None), self.hub.hold_after.pop(inside, None)
        stop = min(len(data), start + (cut or len(data)))
        try:
            for at in range(start, stop, _PIECE):
                if hold is not None and at - start >= hold:
                    self.hub.released.wait(240)
                piece = data[at : min(at + _PIECE, stop)]
                self.wfile.write(piece)
                sent[inside] = sent.get(inside, 0) + len(piece)
        except ConnectionError:
            self.close_connection = True
        if cut is not None:
            self.close_connection = True

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self._head(status, {"Content-Length": str(len(data))} | headers)
        self.wfile.write(data)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """A test's output is no access log."""
