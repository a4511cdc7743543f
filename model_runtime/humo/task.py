"""What a clip asks for, checked and read before anything long begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from media.picture import load_picture
from model_runtime.engine import LocalInputs, RenderTask
from model_runtime.humo.whisper import Samples
from schemas.errors import InvalidMedia
from schemas.job import RenderRequest
from schemas.model_spec import SAMPLES_PER_FRAME, SPEECH_RATE, ModelSpec
from schemas.problem import Code


@dataclass(frozen=True, kw_only=True)
class Given:
    """The inputs of one clip, decoded."""

    pictures: tuple[Image.Image, ...]
    speech: Samples | None


def read_task(task: RenderTask, spec: ModelSpec) -> Given:
    """Check the request against the model's limits and read its inputs; inputs that the mode lacks are left alone.

    Raises:
        InvalidMedia: the size, length or number of references is beyond the model, an input is missing or cannot be
            read, or there is less speech than one frame.
    """
    request, inputs = task.request, task.inputs
    _check_size(request, spec)
    if request.mode.has_images:
        _check_references(len(inputs.images), spec)
    speech = _read_speech(request, inputs) if request.mode.has_speech else None
    pictures = tuple(load_picture(path) for path in inputs.images) if request.mode.has_images else ()
    return Given(pictures=pictures, speech=speech)


def _check_size(request: RenderRequest, spec: ModelSpec) -> None:
    if request.mode not in spec.modes:
        raise InvalidMedia(
            Code.MODE_UNSUPPORTED,
            f"{spec.name} has no mode {request.mode}",
            fix=f"choose one of {', '.join(sorted(spec.modes))}",
        )
    error = spec.size_error(request.width, request.height)
    if error:
        raise InvalidMedia(Code.SIZE_UNSUPPORTED, error, fix=f"choose a size that {spec.name} renders")
    if request.num_frames > spec.max_frames or request.num_frames != spec.clip_frames(request.num_frames):
        raise InvalidMedia(
            Code.DURATION_INVALID,
            f"{request.num_frames} frames, expected {spec.frame_step}n + 1 and at most {spec.max_frames}",
            fix="cut the shot into clips of the model's length",
        )


def _check_references(count: int, spec: ModelSpec) -> None:
    if count > spec.max_references:
        raise InvalidMedia(
            Code.REFERENCES_TOO_MANY,
            f"{count} reference pictures, expected at most {spec.max_references}",
            fix="leave out the less important ones",
        )
    if not count:
        raise InvalidMedia(
            Code.REFERENCE_MISSING, "no reference picture, expected at least one", fix="give one, or choose mode TA"
        )


def _read_speech(request: RenderRequest, inputs: LocalInputs) -> Samples:
    """float32 samples of the clip's range at 16 kHz; what lies beyond the end of the speech is left out."""
    if inputs.speech is None:
        raise InvalidMedia(Code.REFERENCE_MISSING, "no speech, expected one file", fix="give one, or choose mode TI")
    samples = _read_range(inputs.speech, request.start_sample, request.end_sample)
    if len(samples) < SAMPLES_PER_FRAME:
        raise InvalidMedia(
            Code.AUDIO_TOO_SHORT,
            f"{len(samples)} samples of speech from sample {request.start_sample} on, expected at least "
            f"{SAMPLES_PER_FRAME}: one frame",
            fix="give a longer recording, or choose mode TI",
        )
    return samples


def _read_range(path: Path, start: int, end: int) -> Samples:
    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate != SPEECH_RATE or file.channels != 1:
                raise InvalidMedia(
                    Code.AUDIO_CORRUPT,
                    f"speech of {file.samplerate} Hz and {file.channels} channels, expected mono {SPEECH_RATE} Hz",
                    fix="normalise the speech first",
                )
            if start >= file.frames:
                return np.zeros(0, np.float32)
            file.seek(start)
            return np.asarray(file.read(max(0, end - start), dtype="float32"))
    except soundfile.LibsndfileError as error:
        raise InvalidMedia(
            Code.AUDIO_CORRUPT, f"the speech does not decode: {error}", fix="export the recording again"
        ) from error
