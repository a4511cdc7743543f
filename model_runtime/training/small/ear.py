"""The small model's speech encoder: a Whisper that hands the mel bands on, and trains nothing.

Mouths follow from the bands of their own frame almost linearly (docs/training.md), so there is nothing that a trained
encoder would have to find; and features that never change are computed once and kept. It is a Whisper in every name and
rule: its convolutions pass each band through the linear reach of their GELU, its layer adds nothing. What comes out are
two bands of features per frame, as the transformer's projector reads them: the log-mel bands, and the same normalised,
which says what is spoken and not how loud.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers.models.whisper.configuration_whisper import WhisperConfig
from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from model_runtime.humo.whisper import STATES_PER_SECOND

_CHUNK_S = 4
"""Seconds heard at once: the longest clip, 97 frames, and no more silence than that."""
_LIFT = 4.0
"""Added before each GELU, where it is a straight line for log-mels (-1.5 to 1.5), and taken off by the positions."""


@torch.no_grad()
def build_ear(width: int) -> WhisperEncoder:
    """An encoder of `width` mel bands and as many channels."""
    encoder = WhisperEncoder(
        WhisperConfig(
            num_mel_bins=width,
            d_model=width,
            encoder_layers=1,
            encoder_attention_heads=2,
            encoder_ffn_dim=16,
            max_source_positions=STATES_PER_SECOND * _CHUNK_S,
        )
    )
    for name, value in encoder.named_parameters():
        value.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    band = torch.arange(width)
    encoder.conv1.weight[band, band, 1] = 1.0
    encoder.get_parameter("conv1.bias").fill_(_LIFT)
    # Of every two steps of 10 ms the mean.
    encoder.conv2.weight[band, band, 1:] = 0.5
    encoder.embed_positions.weight.fill_(-_LIFT)
    encoder.eval()
    return encoder


def write_ear(path: Path, width: int) -> None:
    """Weights at `path`, settings beside it."""
    encoder = build_ear(width)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = encoder.state_dict()
    save_file({f"model.encoder.{name}": value.bfloat16().contiguous() for name, value in state.items()}, path)
    # safetensors writes for the owner alone; weights are for whoever may read their folder.
    path.chmod(0o644)
    encoder.config.save_pretrained(path.parent)
    WhisperFeatureExtractor(feature_size=width, chunk_length=_CHUNK_S).save_pretrained(path.parent)
