"""A tiny HuMo with random weights, file for file as the real ones are published.

For tests of everything around the weights, and for trying the whole way without 50 GB: the videos are noise.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model_runtime.humo import text, vae
from model_runtime.humo.config import HumoConfig
from model_runtime.humo.transformer import HumoTransformer
from model_runtime.humo.weights.convert import convert_model
from model_runtime.humo.weights.layout import HumoModel, Layout
from model_runtime.humo.weights.lockfile import lock_path, measure, write_lock
from schemas.errors import Refused
from schemas.weights import WeightsLock

_SHARDS = 3
_SPEECH_LAYERS = 4
_MEL_BINS = 16
_CHUNK_S = 2
"""Seconds of speech per piece: Whisper's own 30 would cost more than all the rest."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'\"-"


def make_tiny(root: Path, model: HumoModel, *, seed: int = 0) -> WeightsLock:
    """A model that is ready to be loaded: written, locked and converted. Raises as `write_tiny`."""
    return convert_model(root, model, write_tiny(root, model, seed=seed))


def write_tiny(root: Path, model: HumoModel, *, seed: int = 0) -> WeightsLock:
    """Write the files as they would be published, and their lock; the same seed gives the same files.

    Raises:
        Refused: the folder has a lock of that model already.
    """
    if lock_path(root, model.name).exists():
        raise Refused(f"{root} holds weights of {model.name} already", fix="name another folder with --weights")
    generator = torch.Generator().manual_seed(seed)
    layout, config = model.layout, model.config
    _write_transformer(root / layout.transformer.local, config, generator)
    autoencoder = _randomised(vae.build_vae(config.vae), generator)
    state = autoencoder.state_dict()
    _write(root / layout.vae.local, {vae.published_name(name, config.vae): state[name] for name in state})
    state = _randomised(text.build_encoder(config.text), generator).state_dict()
    named = {name: text.published_name(name) for name in state}
    _write(
        root / layout.text.local,
        {published: state[name].bfloat16() for name, published in named.items() if published},
    )
    _write_tokenizer(root / layout.tokenizer.local, vocab=config.text.vocab)
    _write_speech_encoder(root, layout, config, generator)
    lock = WeightsLock(
        model=model.name,
        repositories=dict.fromkeys(layout.repositories),
        files={
            path.relative_to(root).as_posix(): measure(path)
            for path in sorted(root.rglob("*"))
            if path.is_file() and _is_of(layout, path.relative_to(root))
        },
    )
    write_lock(root, lock)
    return lock


def _is_of(layout: Layout, path: Path) -> bool:
    by_folder = {repository.partition("/")[2]: repository for repository in layout.repositories}
    repository = by_folder.get(path.parts[0])
    return repository is not None and layout.needs(repository, Path(*path.parts[1:]).as_posix())


def _randomised(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Matrices keep the size of what passes through them; gains are near one, biases near zero."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if name.endswith((".bias", "modulation")):
                value.copy_(0.1 * noise)
            elif value.ndim == 1 or name.endswith("gamma"):
                value.copy_(1 + 0.1 * noise)
            else:
                value.copy_(noise / value[0].numel() ** 0.5)
    return model


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
    if path.suffix == ".pth":
        torch.save(whole, path)
    else:
        save_file(whole, path)


def _write_transformer(path: Path, config: HumoConfig, generator: torch.Generator) -> None:
    state = _randomised(HumoTransformer.from_shape(config.transformer), generator).state_dict()
    if path.suffix == ".pth":
        _write(path, state)
        return
    names = list(state)
    shards = [names[part::_SHARDS] for part in range(_SHARDS)]
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        file = f"humo-{number:05d}-of-{_SHARDS:05d}.safetensors"
        _write(path.parent / file, {name: state[name].bfloat16() for name in shard})
        weight_map.update(dict.fromkeys(shard, file))
    size = sum(2 * value.numel() for value in state.values())
    _write_json(path, {"metadata": {"total_size": size}, "weight_map": weight_map})


def _write_tokenizer(folder: Path, *, vocab: int) -> None:
    """Letters as tokens, with umT5's special ones."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter([_ALPHABET, " ".join(_ALPHABET)]),
        model_writer=model,
        model_type="char",
        vocab_size=vocab,
        hard_vocab_limit=False,
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(model.getvalue())
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    _write_json(folder / "special_tokens_map.json", special)
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, **special})


def _write_speech_encoder(root: Path, layout: Layout, config: HumoConfig, generator: torch.Generator) -> None:
    from transformers.models.whisper.configuration_whisper import WhisperConfig
    from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    width = config.transformer.audio_channels
    settings = WhisperConfig(
        num_mel_bins=_MEL_BINS,
        d_model=width,
        encoder_layers=_SPEECH_LAYERS,
        encoder_attention_heads=2,
        encoder_ffn_dim=2 * width,
        max_source_positions=50 * _CHUNK_S,
    )
    state = _randomised(WhisperEncoder(settings), generator).state_dict()
    _write(root / layout.speech.local, {f"model.encoder.{name}": value.half() for name, value in state.items()})
    folder = (root / layout.speech.local).parent
    settings.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=_MEL_BINS, chunk_length=_CHUNK_S).save_pretrained(folder)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
