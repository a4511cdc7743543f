"""Where one worker's temporary files are."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from storage.scratch import ScratchFolder


class Scratch(ScratchFolder):
    """A context: a folder of this worker's own, gone on exit; those of dead processes go on entry."""

    def __init__(self, parent: Path) -> None:
        super().__init__(parent, "worker")

    def __enter__(self) -> Self:
        super().__enter__()
        self.inputs.mkdir()
        return self

    @property
    def inputs(self) -> Path:
        return self.folder / "inputs"

    def clip(self, attempt_id: str) -> Path:
        return self.folder / f"{attempt_id}.mp4"
