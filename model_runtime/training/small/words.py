"""The small model's tokenizer: the world's words whole, any other word by its letters. Nothing in it is trained."""

from __future__ import annotations

import re
import string
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from model_runtime.humo.text import clean, prompt_field
from model_runtime.training.world.world import World
from schemas.model_spec import WAN_NEGATIVE_PROMPT

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
"""umT5's, with its ids 0, 1 and 2."""

_CAPTIONS = 2000
"""Enough to meet every word: the rarest is in one caption of sixty."""
_START = "▁"
"""Before a word's first letter, as in every sentencepiece vocabulary."""
_LIKELY, _LETTER = -5.0, -15.0
"""Log-probabilities: one known word is taken before any spelling of it."""
_PARTS = re.compile(r"[\w']+|[^\w\s]")


def vocabulary() -> list[tuple[str, float]]:
    """Pieces with their log-probabilities; the place is the id. The same in every process."""
    captions = (World().recipe(index).caption for index in range(_CAPTIONS))
    words = {
        (_START if at == 0 else "") + part
        for caption in captions
        for word in clean(prompt_field(caption)).lower().split()
        for at, part in _parts(word)
    }
    # Said as it is or not at all: one piece per phrase keeps it short.
    refused = re.findall(r"[^,]+,?", clean(WAN_NEGATIVE_PROMPT).lower())
    letters = set(string.ascii_lowercase + string.digits + string.punctuation) | {_START}
    known = {PAD: 0.0, END: 0.0, UNKNOWN: 0.0}
    known |= dict.fromkeys(sorted(words), _LIKELY) | dict.fromkeys(refused, _LIKELY)
    return [*known.items(), *((letter, _LETTER) for letter in sorted(letters - known.keys()))]


def _parts(word: str) -> list[tuple[int, str]]:
    return [(match.start(), match[0]) for match in _PARTS.finditer(word)]


def write_tokenizer(folder: Path) -> int:
    """Write the tokenizer as transformers loads it, and say how many pieces it knows."""
    pieces = vocabulary()
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_START, prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, 1)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, unk_token=UNKNOWN
    ).save_pretrained(str(folder))
    return len(pieces)
