"""From speech to windows, against the reference's golden tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from model_runtime.humo import audio, whisper
from tests.support import humo as golden

CASES = sorted(
    key.removesuffix(".window_index") for key in golden.tensors("audio_window") if key.endswith(".window_index")
)
RESAMPLED = sorted(
    key.removesuffix(".in")
    for key in golden.tensors("audio_window")
    if key.startswith("interp") and key.endswith(".in")
)
PER_FRAME = sorted(
    key.removesuffix(".per_frame") for key in golden.tensors("audio_window") if key.endswith(".per_frame")
)


def tiny_encoder() -> WhisperEncoder:
    encoder = WhisperEncoder(WhisperConfig(**golden.said("whisper_tiny", "config")))
    encoder.load_state_dict(golden.weights("whisper_tiny"))
    return encoder.eval()


@pytest.mark.parametrize("case", PER_FRAME)
def test_bands_are_means_at_25_hz(case: str) -> None:
    """33 hidden states at 50 Hz become five bands per video frame, one frame fewer where the reference loses one."""
    io = golden.tensors("audio_window")
    wanted = io[f"{case}.per_frame"]
    got = audio.per_frame(io[f"{case}.hidden_states"][0], wanted.shape[1])
    assert golden.error(got, wanted) <= golden.AUDIO


@pytest.mark.parametrize("case", CASES)
def test_windows_hold_the_references_frames(case: str) -> None:
    """Each latent frame hears eight video frames, zeros where there is no speech."""
    io = golden.tensors("audio_window")
    wanted = io[f"{case}.windows"]
    assert golden.error(audio.windows(io[f"{case}.per_frame"], wanted.shape[0]), wanted) <= golden.AUDIO
    index = audio.window_index(wanted.shape[0])
    heard = (index >= 0) & (index < io[f"{case}.per_frame"].shape[0])
    assert torch.equal(torch.where(heard, index, -1), io[f"{case}.window_index"])


def test_windows_of_a_ramp() -> None:
    """Video frame k carries the number k + 1: the windows can be read by eye."""
    wanted = golden.tensors("audio_window")["ramp.windows"]
    ramp = torch.arange(1.0, wanted.max() + 1)[:, None, None]
    assert torch.equal(audio.windows(ramp, wanted.shape[0])[..., 0, 0], wanted)


@pytest.mark.parametrize("case", RESAMPLED)
def test_resampling_keeps_both_ends(case: str) -> None:
    """50 Hz to 25 Hz is linear between the first and the last value."""
    io = golden.tensors("audio_window")
    assert golden.error(audio.resample(io[f"{case}.in"][0]), io[f"{case}.out_25"][0]) <= golden.AUDIO


def test_lengths_that_lose_a_frame() -> None:
    """The list of even lengths whose half is missed by one is the reference's own."""
    lists = {key: value for key, value in golden.tensors("audio_window").items() if ".bad_even_lengths_below_" in key}
    assert lists
    for key, wanted in lists.items():
        lengths = range(2, int(key.rpartition("_")[2]), 2)
        assert [length for length in lengths if audio.resampled_length(length) != length // 2] == wanted.tolist()


def test_no_speech_at_all_gives_empty_windows() -> None:
    """Windows over nothing, and those of reference slots, are zeros."""
    windows = audio.with_references(audio.windows(torch.zeros(0, 5, 7), 3), 2)
    assert windows.shape == (5, 8, 5, 7)
    assert not windows.any()


def test_states_that_cannot_be_banded_are_refused() -> None:
    """Bands are equal runs of states: 32 and one, not 31 and one."""
    with pytest.raises(ValueError, match="hidden states"):
        audio.bands(torch.zeros(4, 32, 3))


@torch.no_grad()
def test_hidden_states_are_whispers_with_the_last_one_normalised() -> None:
    """Embedding, layers, and the final LayerNorm's output in place of the last layer's."""
    io = golden.tensors("whisper_tiny")
    assert golden.error(whisper.hidden_states(tiny_encoder(), io["mel"]), io["hidden_states"]) <= golden.AUDIO


def test_front_end_gives_the_references_log_mel() -> None:
    """16 kHz samples become large-v3's log-mel, padded to 30 seconds."""
    io = golden.tensors("whisper_tiny")
    head, tail = (next(v for k, v in io.items() if k.startswith(f"frontend.mel_{end}_")) for end in ("first", "last"))
    front_end = WhisperFeatureExtractor(feature_size=head.shape[1])
    mel = whisper.log_mel(front_end, io["frontend.wav"].numpy())
    assert mel.shape[-1] == front_end.nb_max_frames
    assert golden.error(mel[..., : head.shape[-1]], head) <= golden.AUDIO
    assert golden.error(mel[..., -tail.shape[-1] :], tail) <= golden.AUDIO


def speech_encoder() -> whisper.SpeechEncoder:
    """Pieces of one second, so that a border between two of them is near."""
    torch.manual_seed(0)
    config = WhisperConfig(
        num_mel_bins=16,
        d_model=16,
        encoder_layers=4,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        max_source_positions=50,
    )
    front_end = WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    return whisper.SpeechEncoder(encoder=WhisperEncoder(config).eval(), front_end=front_end)


def test_speech_is_heard_piece_by_piece_and_cut_to_its_length() -> None:
    """Two states per whole video frame, also over a border between pieces, and none of the padding."""
    encoder = speech_encoder()
    samples = np.sin(np.arange(16_000 + 4 * 640 + 300) / 20).astype(np.float32)
    states = encoder(samples)
    assert states.shape[0] == 2 * 29
    first = encoder(samples[:16_000])
    assert torch.equal(states[:50], first)
    assert torch.equal(states[50:], encoder(samples[16_000:]))


def test_less_speech_than_a_frame_is_refused() -> None:
    """639 samples are no video frame."""
    with pytest.raises(ValueError, match="639 samples"):
        speech_encoder()(np.zeros(639, np.float32))
