"""From the speech encoder's hidden states to the windows that each latent frame hears (HuMo reference, audio)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from model_runtime.humo.vae import FRAMES_PER_LATENT
from model_runtime.humo.whisper import STATES_PER_SECOND
from schemas.model_spec import FPS, SAMPLES_PER_FRAME

_EITHER_SIDE = 2
"""Video frames that a window takes before and after its latent frame's own four."""
WINDOW = FRAMES_PER_LATENT + 2 * _EITHER_SIDE


def frame_count(samples: int) -> int:
    """Whole video frames of speech in so many samples at 16 kHz."""
    return samples // SAMPLES_PER_FRAME


def bands(states: Tensor, count: int = 5) -> Tensor:
    """[time, layers + 1, channels] -> [time, count, channels].

    The means of `count - 1` equal runs of states from the embedding on, then the last state alone: 0-7, 8-15, 16-23,
    24-31 and 32 of Whisper-large's 33.

    Raises:
        ValueError: the states before the last cannot be divided into equal runs.
    """
    body, last = states[:, :-1], states[:, -1:]
    if body.shape[1] % (count - 1):
        raise ValueError(f"{states.shape[1]} hidden states, expected a multiple of {count - 1} and one")
    means = body.unflatten(1, (count - 1, -1)).mean(dim=2)
    return torch.cat((means, last), dim=1)


def resampled_length(states: int) -> int:
    """Video frames that so many states at 50 Hz become.

    The expression is the reference's, in floating point: for some lengths (58 states, say) it gives one frame fewer
    than half, and the same clip must have the same features here.
    """
    return int(states / float(STATES_PER_SECOND) * FPS)


def resample(features: Tensor) -> Tensor:
    """[time at 50 Hz, ...] -> [time at 25 Hz, ...]: linear between the first and the last, both kept."""
    flat = features.flatten(1).T[None]
    out = functional.interpolate(flat, size=resampled_length(features.shape[0]), mode="linear", align_corners=True)
    resampled: Tensor = out[0].T.unflatten(1, features.shape[1:])
    return resampled


def per_frame(states: Tensor, count: int = 5) -> Tensor:
    """Hidden states [time at 50 Hz, layers + 1, channels] -> features per video frame [frames, count, channels]."""
    return resample(bands(states, count))


def window_index(latent_frames: int) -> Tensor:
    """int64 [latent frames, 8]: the video frame behind each row of each window; those outside the speech are empty.

    Latent 0 is one video frame, its window three empty rows and then frames -2 to 2; latent l stands for frames
    4l-3 to 4l and hears two more on either side.
    """
    starts = FRAMES_PER_LATENT * torch.arange(latent_frames) - FRAMES_PER_LATENT - _EITHER_SIDE + 1
    return starts[:, None] + torch.arange(WINDOW)


def windows(features: Tensor, latent_frames: int) -> Tensor:
    """[frames, bands, channels] -> [latent frames, 8, bands, channels]; zeros where there is no speech."""
    index = window_index(latent_frames).to(features.device)
    # Frames before the first are not heard at all; the first latent's rows of them stay empty.
    present = (index >= 0) & (index < features.shape[0])
    if not features.shape[0]:
        return features.new_zeros(*index.shape, *features.shape[1:])
    rows = features[index.clamp(0, features.shape[0] - 1)]
    return rows * present[..., None, None]


def with_references(speech: Tensor, references: int) -> Tensor:
    """Windows [latent frames, ...] -> [slots, ...]: the reference slots at the end hear nothing."""
    return torch.cat((speech, speech.new_zeros(references, *speech.shape[1:])))
