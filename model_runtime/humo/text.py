"""Prompts to text states: cleaning, the umT5 tokenizer and encoder (HuMo reference, text)."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ftfy
import torch
from torch import Tensor
from transformers.models.umt5.configuration_umt5 import UMT5Config
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

from model_runtime.humo.config import TextConfig
from model_runtime.humo.weights.remedy import BRING
from schemas.errors import InvalidInput

_SPACES = re.compile(r"\s+")


def prompt_field(prompt: str) -> str:
    """What the reference makes of a job file's prompt: stripped, underscores to spaces, outer double quotes off."""
    return prompt.strip().replace("_", " ").strip('"')


def clean(text: str) -> str:
    """What the tokenizer is given: mojibake and full-width forms mended, entities resolved twice, spaces collapsed."""
    return _SPACES.sub(" ", html.unescape(html.unescape(ftfy.fix_text(text))).strip()).strip()


@dataclass(frozen=True, kw_only=True)
class TextEncoder:
    """The umT5 encoder and its tokenizer. `text_len` is the longest text in tokens; the rest is cut off."""

    encoder: UMT5EncoderModel
    tokenizer: Any
    text_len: int

    @torch.no_grad()
    def __call__(self, prompt: str) -> Tensor:
        """[tokens, dim], the end token included, padding not: an encoder that sees none gives the same states."""
        ids = self.tokenizer(
            clean(prompt), max_length=self.text_len, truncation=True, add_special_tokens=True, return_tensors="pt"
        )["input_ids"]
        return self.encode(ids)

    @torch.no_grad()
    def encode(self, ids: Tensor) -> Tensor:
        """int64 [1, tokens] -> [tokens, dim]."""
        states: Tensor = self.encoder(input_ids=ids.to(self.encoder.device)).last_hidden_state
        return states[0]


def build_encoder(config: TextConfig) -> UMT5EncoderModel:
    """An encoder of these widths, with whatever weights the default device gives it."""
    encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=config.vocab,
            d_model=config.dim,
            d_kv=config.dim_attn // config.num_heads,
            d_ff=config.dim_ffn,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            relative_attention_num_buckets=config.num_buckets,
            relative_attention_max_distance=config.max_distance,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            layer_norm_epsilon=1e-6,
        )
    )
    encoder.eval()
    return encoder


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of that folder.

    Raises:
        InvalidInput: the folder holds none, or one that knows no words.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{folder} holds no tokenizer: {error}", fix=BRING) from error
    # A tokenizer built without its vocabulary answers unknown tokens and no error.
    ids = tokenizer("a picture of a person")["input_ids"]
    if all(token in (tokenizer.unk_token_id, tokenizer.eos_token_id) for token in ids):
        raise InvalidInput(
            f"the tokenizer in {folder} knows none of its words",
            fix=BRING,
        )
    return tokenizer


_PLAIN = {
    "shared.weight": "token_embedding.weight",
    "encoder.final_layer_norm.weight": "norm.weight",
}
_IN_BLOCK = {
    "layer.0.layer_norm": "norm1",
    "layer.0.SelfAttention.relative_attention_bias": "pos_embedding.embedding",
    **{f"layer.0.SelfAttention.{name}": f"attn.{name}" for name in "qkvo"},
    "layer.1.layer_norm": "norm2",
    "layer.1.DenseReluDense.wi_0": "ffn.gate.0",
    "layer.1.DenseReluDense.wi_1": "ffn.fc1",
    "layer.1.DenseReluDense.wo": "ffn.fc2",
}
_BLOCK = re.compile(r"encoder\.block\.(\d+)\.(.+)\.weight")


def published_name(name: str) -> str | None:
    """The published checkpoint's name of an encoder weight; None for the second name of a shared one."""
    if name in _PLAIN:
        return _PLAIN[name]
    match = _BLOCK.fullmatch(name)
    if match is None:
        return None
    return f"blocks.{match[1]}.{_IN_BLOCK[match[2]]}.weight"
