"""The deliverables over HTTP on the loopback, so that links in Prefect open in a browser; read only."""

from __future__ import annotations

import re
import threading
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from flows.deploy.server import refuse_taken

_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")


class _Handler(SimpleHTTPRequestHandler):
    """Files below one folder; no listings. Players seek by ranges."""

    def send_head(self) -> Any:
        asked = Path(self.translate_path(self.path))
        if asked.is_dir() or not asked.resolve().is_relative_to(Path(self.directory).resolve()):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        match = _RANGE.match(self.headers.get("Range", ""))
        return self._send_range(asked, match) if match and asked.is_file() else super().send_head()

    def _send_range(self, path: Path, match: re.Match[str]) -> IO[bytes] | None:
        size = path.stat().st_size
        first = int(match[1])
        last = min(int(match[2]) if match[2] else size - 1, size - 1)
        if first > last:
            self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return None
        with path.open("rb") as stream:
            stream.seek(first)
            part = stream.read(last - first + 1)
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        return BytesIO(part)

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def guess_type(self, path: Any) -> str:
        kind = super().guess_type(path)
        # What strangers wrote is shown as text; the gallery is callsheet's own page.
        if str(path).endswith((".csv", ".md")):
            return "text/plain; charset=utf-8"
        return kind

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        del format, args


class FileServer:
    """Serves `folder` from a thread until it is stopped.

    Raises:
        Permanent: something else listens on that port.
    """

    def __init__(self, folder: Path, port: int) -> None:
        refuse_taken(port)
        folder.mkdir(parents=True, exist_ok=True)
        self._server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(folder)))
        self._thread = threading.Thread(target=self._server.serve_forever, name="file-server", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
