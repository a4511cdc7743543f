"""What a run says while it goes: a bar for people, a line per step for programs, TensorBoard where it is installed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TextIO

from tqdm import tqdm  # type: ignore[import-untyped]  # ships no types

_EVERY_S = 5.0
"""How often there is a line where there is no terminal."""


class Report:
    """Open while steps are made; `metrics.jsonl` holds each finished step once, however often a run was stopped.

    Args:
        out: the run's folder.
        done: finished steps; what the file says of later ones is forgotten, they will come again.
        steps: steps of the whole run.
        stream: where people read; nowhere when None is given for ranks but the first.
    """

    def __init__(self, out: Path, *, done: int, steps: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._steps = steps
        self._said_at = -_EVERY_S
        out.mkdir(parents=True, exist_ok=True)
        path = out / "metrics.jsonl"
        kept = _lines_before(path, done)
        path.write_text("".join(kept), encoding="utf-8")
        self._metrics = path.open("a", encoding="utf-8")
        self._board = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(out / "tensorboard"), purge_step=done)
        self._bar = tqdm(
            total=steps, initial=done, desc="training", unit="step", file=self._stream, dynamic_ncols=True, disable=None
        )

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Step `step`, counted from 0, is finished."""
        self._metrics.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        self._bar.set_postfix({"loss": f"{values['loss']:.4f}"}, refresh=False)
        self._bar.update()
        is_due = step + 1 == self._steps or time.monotonic() - self._said_at >= _EVERY_S
        if self._bar.disable and is_due:
            self._said_at = time.monotonic()
            self._stream.write(f"step {step + 1} of {self._steps}: loss {values['loss']:.4f}\n")

    def flush(self) -> None:
        """What was told so far survives whatever comes: called with every checkpoint."""
        self._metrics.flush()

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        self._metrics.close()
        if self._board is not None:
            self._board.close()


def _lines_before(path: Path, step: int) -> list[str]:
    """A killed run may have left half a line: it is of a step that no checkpoint has."""
    if not path.is_file():
        return []
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] < step:
                kept.append(line)
        except ValueError:
            break
    return kept
