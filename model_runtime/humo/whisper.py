"""Speech to hidden states: Whisper's encoder in float32, 30 seconds at a time (HuMo reference, audio)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from schemas.model_spec import FPS, SAMPLES_PER_FRAME, SPEECH_RATE

STATES_PER_SECOND = 50
_STATES_PER_FRAME = STATES_PER_SECOND // FPS

Samples = NDArray[np.float32]
"""Mono at 16 kHz, full scale 1."""


@dataclass(frozen=True, kw_only=True)
class SpeechEncoder:
    """The encoder half of a Whisper model and its log-mel front end."""

    encoder: WhisperEncoder
    front_end: WhisperFeatureExtractor

    def __call__(self, samples: Samples) -> Tensor:
        """[samples] -> float32 [2 x video frames, layers + 1, width], cut so that the padding is not heard.

        Raises:
            ValueError: less speech than one video frame.
        """
        frames = len(samples) // SAMPLES_PER_FRAME
        if not frames:
            raise ValueError(f"{len(samples)} samples of speech, expected at least {SAMPLES_PER_FRAME}")
        piece = int(self.front_end.n_samples)
        states = [
            hidden_states(self.encoder, log_mel(self.front_end, samples[start : start + piece]))[0]
            for start in range(0, len(samples), piece)
        ]
        return torch.cat(states)[: _STATES_PER_FRAME * frames]


def log_mel(front_end: WhisperFeatureExtractor, samples: Samples) -> Tensor:
    """At most one piece of samples -> float32 [1, mel bins, 3000], padded with silence to the piece's full length."""
    mel = front_end(samples, sampling_rate=SPEECH_RATE, return_tensors="pt")["input_features"]
    assert isinstance(mel, Tensor)
    return mel


@torch.no_grad()
def hidden_states(encoder: WhisperEncoder, mel: Tensor) -> Tensor:
    """[1, mel bins, 3000] -> [1, 1500, layers + 1, width]: the embedding, every layer, and the last one normalised.

    The last layer's output appears only after the final LayerNorm.
    """
    weight = encoder.conv1.weight
    states = encoder(mel.to(weight.device, weight.dtype), output_hidden_states=True).hidden_states
    return torch.stack(states, dim=2).float()
