"""VBench's scores of a clip (Huang et al., CVPR 2024), by the command that its package installs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from media.encode import ClipEncoder
from schemas.errors import InvalidInput
from schemas.model_spec import FPS

if TYPE_CHECKING:
    from model_runtime.evaluation.outside import Shown

COMMAND = "vbench"
DIMENSIONS = (
    "subject_consistency",
    "background_consistency",
    "motion_smoothness",
    "aesthetic_quality",
    "imaging_quality",
)
"""Those that VBench takes of videos whose prompts are not its own."""
_CACHE = "VBENCH_CACHE_DIR"
_PATIENCE_S = 1800.0
_ENCODER_PATIENCE_S = 60.0


class VBenchScore:
    """A process of its own, because the package wants other versions of torch and transformers than callsheet.

    It needs the command on the PATH and its weights in its own cache: without them it would fetch gigabytes by itself.
    """

    name = "VBench"

    def __init__(self, _weights: Path) -> None:
        self._command = shutil.which(COMMAND)

    @property
    def missing(self) -> str:
        if self._command is None:
            return f"put the command {COMMAND} of the package vbench on the PATH, from an environment of its own"
        cache = Path(os.environ.get(_CACHE) or Path.home() / ".cache" / "vbench")
        return "" if cache.is_dir() and any(cache.iterdir()) else f"let {COMMAND} fetch its weights once, into {cache}"

    def score(self, shown: Shown) -> dict[str, float]:
        """Shares of 1 by dimension.

        Raises:
            InvalidInput: VBench failed, or said nothing that can be read.
        """
        assert self._command is not None
        with tempfile.TemporaryDirectory(prefix="vbench-") as name:
            videos, found = Path(name, "videos"), Path(name, "found")
            videos.mkdir()
            _write(videos / "clip.mp4", shown)
            _run([self._command, "evaluate", "--videos_path", str(videos), "--output_path", str(found)])
            return _read(found)


def _write(path: Path, shown: Shown) -> None:
    _, height, width, _ = shown.frames.shape
    with ClipEncoder(path, width=width, height=height, fps=FPS, timeout_s=_ENCODER_PATIENCE_S) as encoder:
        for frame in shown.frames:
            encoder.write(frame.tobytes())
        encoder.finish()


def _run(command: list[str]) -> None:
    command += ["--mode", "custom_input", "--dimension", *DIMENSIONS]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE_S
        )
    except subprocess.CalledProcessError as error:
        raise InvalidInput(
            f"{COMMAND} ended with {error.returncode}: {error.stderr.strip()[-500:]}",
            fix="run it by hand on any video, or take it off the PATH",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(f"{COMMAND} did not end within {_PATIENCE_S:.0f} s", fix="take it off the PATH") from error


def _read(folder: Path) -> dict[str, float]:
    """`*_eval_results.json`: by dimension the mean and then each video's own."""
    files = sorted(folder.glob("*_eval_results.json"))
    try:
        said = json.loads(files[-1].read_text(encoding="utf-8"))
        return {f"outside/VBench {name.replace('_', ' ')}": float(said[name][0]) for name in DIMENSIONS}
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{COMMAND} left no results that can be read: {error}", fix="look at its version") from error
