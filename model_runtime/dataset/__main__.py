"""`python -m model_runtime.dataset`: what a flow starts to make shards; speaks JSON lines until its input ends.

Requests: `{"do": "open", "order": ..., "out": ...}` once, then `plan`, `make`, `finish`, `verify`. Answers: any number
of `{"done": n, "of": m}`, then one that says `answer` or `error`. What libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

from model_runtime.dataset.finished import verify
from model_runtime.dataset.shelf import unwritable
from model_runtime.dataset.steps import Steps, refuse_empty
from model_runtime.dataset.workshop import Workshop
from schemas.dataset import Step, read_order
from schemas.errors import CallsheetError, InvalidInput, Permanent, Refused, Retryable
from storage.scratch import ScratchFolder

Request = dict[str, Any]
_KINDS = (InvalidInput, Refused, Retryable, Permanent)
"""By what the caller will do; the flow raises the same again."""


def main() -> int:
    """Serve until the input ends; SIGTERM, and the end of whoever asks, stop at once and leave nothing half-made."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGTERM, _stop)
    # Ctrl-C is the flow's to answer: it ends its processes in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests: SimpleQueue[Request] = SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    with ExitStack() as stack:
        desk = _Desk(answers, stack)
        while True:
            desk.serve(requests.get())


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _read(requests: SimpleQueue[Request]) -> None:
    """In a thread of its own, because the end of the input must be seen in the middle of a shard, too.

    Straight from the descriptor: a thread that waits in a Python file would be in the way when the process ends.
    """
    rest, source = b"", sys.stdin.fileno()
    while piece := os.read(source, 1 << 16):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            requests.put(json.loads(line))
    os.kill(os.getpid(), signal.SIGTERM)


class _Desk:
    def __init__(self, answers: Any, stack: ExitStack) -> None:
        self._answers = answers
        self._stack = stack
        self._steps: Steps | None = None
        self._verbs: dict[str, Callable[[Request], Any]] = {
            "open": self._open,
            "plan": self._plan,
            "make": self._make,
            "finish": self._finish,
            "verify": self._verify,
        }

    def serve(self, request: Request) -> None:
        try:
            self._say({"answer": self._verbs[request["do"]](request)})
        except CallsheetError as error:
            kind = next((one.__name__ for one in _KINDS if isinstance(error, one)), _KINDS[-1].__name__)
            self._say({"error": error.message, "fix": error.fix, "kind": kind})

    def _say(self, what: dict[str, Any]) -> None:
        self._answers.write(json.dumps(what).encode() + b"\n")

    def _tick(self, done: int, of: int) -> None:
        self._say({"done": done, "of": of})

    def _open(self, request: Request) -> Any:
        order, root = read_order(request["order"]), Path(request["out"])
        try:
            (root / ".scratch").mkdir(parents=True, exist_ok=True)
            scratch = self._stack.enter_context(ScratchFolder(root / ".scratch", "maker"))
        except OSError as error:
            raise unwritable(root, error) from error
        workshop = Workshop(order=order, root=root, scratch=scratch.folder, tick=self._tick)
        self._steps = Steps(workshop)
        team = workshop.team
        return {
            seam: getattr(team, seam).about.as_list()
            for seam in ("captioner", "detector", "embedder", "scorer", "enhancer")
        }

    @property
    def _opened(self) -> Steps:
        assert self._steps is not None, "open comes first"
        return self._steps

    def _plan(self, request: Request) -> Any:
        found = self._opened.plan(Step(request["step"]), whole=request["whole"])
        return [{"name": name, "state": state} for name, state in found]

    def _make(self, request: Request) -> Any:
        return self._opened.make(Step(request["step"]), request["shard"]).tally.as_dict()

    def _finish(self, request: Request) -> Any:
        manifest = self._opened.finish(Step(request["step"]), request["shards"])
        refuse_empty(manifest)
        return manifest

    def _verify(self, request: Request) -> Any:
        return verify(Path(request["out"]), self._tick)


if __name__ == "__main__":
    sys.exit(main())
