"""One process that makes shards (`python -m model_runtime.dataset`), asked in JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.dataset import DatasetOrder
from schemas.errors import CallsheetError, InvalidInput, Permanent, Refused, Retryable
from schemas.settings import OTHER_VARIABLES, PREFIX

GRACE_S = 10.0
"""How long a process that was told to stop may take to tidy up."""
_POLL_S = 0.2

Tick = Callable[[int, int], None]
_KINDS: dict[str, type[CallsheetError]] = {one.__name__: one for one in (InvalidInput, Refused, Retryable, Permanent)}


class MakerDied(Retryable):
    """The process ended without an answer; what it was making is not there."""


class MakerStopped(Exception):
    """The build is being ended, and no answer is waited for any more."""


class Maker:
    """`start` or `open` it, `ask` it, `close` it."""

    def __init__(self, log: Path, *, stopped: Callable[[], bool]) -> None:
        self._log = log
        self._stopped = stopped
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process.

        Raises:
            Retryable: its log cannot be written.
        """
        # No setting and no secret of the installation is its business.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX) or k in OTHER_VARIABLES}
        try:
            log = self._log.open("ab")
        except OSError as error:
            raise Retryable(f"{self._log} cannot be written: {error.strerror}", fix="make room there") from error
        with log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "model_runtime.dataset"],
                env=inherited,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Its own group: Ctrl-C in the terminal reaches the flow alone, which then ends it in order.
                start_new_session=True,
                bufsize=0,
            )

    def open(self, order: DatasetOrder, out: Path) -> dict[str, list[str]]:
        """Start the process and tell it what is wanted; the adapters and versions that it works with.

        Raises:
            InvalidInput: the order cannot be carried out: an adapter, a package or weights are missing.
            Retryable: the dataset's folder cannot be written.
        """
        self.start()
        request = {"do": "open", "order": order.model_dump(mode="json"), "out": str(out)}
        answer: dict[str, list[str]] = self.ask(request, lambda _done, _of: None)
        return answer

    def ask(self, request: dict[str, Any], tick: Tick) -> Any:
        """The answer; `tick` is told how far it is.

        Raises:
            MakerDied: the process ended.
            MakerStopped: the build is being ended.
            CallsheetError: as the process raised it, by what the caller will do.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._died() from None
        while True:
            said = json.loads(self._line())
            if "answer" in said:
                return said["answer"]
            if "error" in said:
                raise _KINDS[said["kind"]](said["error"], fix=said["fix"])
            tick(said["done"], said["of"])

    def _line(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(output, select.POLLIN)
        while b"\n" not in self._buffer:
            if self._stopped():
                raise MakerStopped
            if not poll.poll(_POLL_S * 1000):
                continue
            piece = os.read(output, 1 << 16)
            if not piece:
                raise self._died()
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _died(self) -> MakerDied:
        assert self._process is not None
        try:
            code = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            code = 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        said = _last_line(self._log)
        return MakerDied(
            f"the process that makes shards {how}; it said: {said or 'nothing'}",
            fix=f"read {self._log}; run the same command again",
        )

    def close(self) -> None:
        """End the process; what it was making is not there afterwards, and nothing half-made either."""
        process, self._process, self._buffer = self._process, None, b""
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
