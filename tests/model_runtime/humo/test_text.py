"""Prompts and the text encoder against the reference's golden values."""

from __future__ import annotations

import json

import pytest
import torch
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

from model_runtime.humo import text
from schemas.model_spec import WAN_NEGATIVE_PROMPT
from tests.support import humo as golden

CLEANED = json.loads((golden.folder() / "text_clean.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CLEANED["clean"], ids=lambda case: repr(case["text"]))
def test_tokenizer_cleaning(case: dict[str, str]) -> None:
    """Mojibake, full-width forms, entities and white space are mended as the reference mends them."""
    assert text.clean(case["text"]) == case["cleaned"]


@pytest.mark.parametrize("case", CLEANED["prompt_field"], ids=lambda case: repr(case["prompt"]))
def test_prompt_field(case: dict[str, str]) -> None:
    """A prompt is stripped, its underscores become spaces and its outer quotes go."""
    assert text.prompt_field(case["prompt"]) == case["text"]


def test_negative_prompt_is_the_published_one() -> None:
    """The default negative prompt is the published configuration's, byte for byte."""
    assert WAN_NEGATIVE_PROMPT.encode() == (golden.folder() / "negative_prompt.txt").read_bytes().strip()


def tiny_encoder() -> UMT5EncoderModel:
    encoder = text.build_encoder(golden.text_config())
    published = golden.weights("t5_tiny")
    ours = {name: text.published_name(name) for name in encoder.state_dict()}
    found = encoder.load_state_dict({name: published[key] for name, key in ours.items() if key}, strict=False)
    assert not found.unexpected_keys
    encoder.tie_weights()
    return encoder


@torch.no_grad()
def test_states_of_real_tokens_are_the_references() -> None:
    """Padded with a mask or cut to the real tokens, the encoder gives the reference's states."""
    io, encoder = golden.tensors("t5_tiny"), tiny_encoder()
    padded = encoder(input_ids=io["ids"], attention_mask=io["mask"]).last_hidden_state
    cut = text.TextEncoder(encoder=encoder, tokenizer=None, text_len=io["ids"].shape[1])
    for row, count in enumerate(io["mask"].sum(dim=1).tolist()):
        wanted = io["output"][row, :count]
        assert golden.error(padded[row, :count], wanted) <= golden.TEXT
        assert golden.error(cut.encode(io["ids"][row : row + 1, :count]), wanted) <= golden.TEXT


def test_relative_positions_fall_into_the_references_buckets() -> None:
    """T5's bucketing, both directions."""
    io = golden.tensors("t5_tiny")
    attention = tiny_encoder().encoder.block[0].layer[0].SelfAttention
    assert torch.equal(attention._relative_position_bucket(io["rel_pos"]), io["rel_bucket"])
