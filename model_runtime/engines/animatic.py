"""The animatic: a moving storyboard that checks a campaign before any device is paid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from media.picture import load_picture
from model_runtime.engine import Gang, RenderContext, RenderTask
from model_runtime.engines.storyboard import Storyboard
from schemas.model_spec import ANIMATIC, ModelSpec, engine_digest


class AnimaticEngine:
    """Shows what the model would be given: references as it frames them, prompt, speech, and where the cuts lie.

    It runs no model and draws only what the request holds, so that equal requests give equal clips.
    """

    spec = ANIMATIC

    def digest(self, model: ModelSpec) -> str:
        return engine_digest(self.spec, model)

    def open(self, model: ModelSpec, gang: Gang) -> None:
        """There is nothing to load."""

    def render(self, task: RenderTask, context: RenderContext) -> None:
        request, inputs = task.request, task.inputs
        pictures = [load_picture(path) for path in inputs.images]
        speech = (
            read_speech(inputs.speech, request.start_sample, request.end_sample)
            if inputs.speech and request.mode.has_speech
            else None
        )
        board = Storyboard(request, pictures, speech)
        for index in range(request.num_frames):
            if index % 8 == 0:
                context.progress("draw", index, request.num_frames)
            context.frame(board.frame(index))

    def close(self) -> None:
        """There is nothing to give back."""


def read_speech(path: Path, start: int, end: int) -> NDArray[np.int16]:
    """Samples `start` to `end` of a normalised speech; what lies beyond its end is left out."""
    samples, _ = soundfile.read(path, start=start, stop=None, dtype="int16", frames=end - start)
    return np.asarray(samples, dtype=np.int16)
