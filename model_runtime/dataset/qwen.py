"""Dense captions by Qwen2.5-VL, which the paper's own captions come from."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model_runtime.dataset.requirements import release, require
from model_runtime.dataset.seams import About, Film
from schemas.dataset import DatasetOrder

_QUESTION = (
    "These frames are of one short video, in order. Describe it in one dense paragraph of plain sentences: who is "
    "seen, what they wear and hold, what they do, where it is, how the light is and how the camera moves. Say only "
    "what is seen."
)
_FRAMES = 8
_TOKENS = 220
_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "model.safetensors.index.json",
)
_GET = (
    "pip install torchvision beside torch; hf download Qwen/Qwen2.5-VL-7B-Instruct --local-dir into the named folder "
    "(Apache-2.0; the 3B model is under a research licence), or use the captioner sidecar"
)


class QwenCaptioner:
    """Greedy, so that the same clip gets the same words.

    Raises:
        InvalidInput: packages or weights are missing.
    """

    def __init__(self, order: DatasetOrder) -> None:
        self._folder, self._device = Path(order.weights) / "qwen2.5-vl", order.device
        mark = require(
            "qwen2.5-vl", packages=("torch", "torchvision", "transformers"), folder=self._folder, files=_FILES, get=_GET
        )
        self.about = About(name="qwen2.5-vl", version=f"1 transformers {release('transformers')} {mark}")

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

        dtype = torch.float32 if self._device == "cpu" else torch.bfloat16
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(self._folder, dtype=dtype, local_files_only=True)
        return model.to(self._device).eval(), AutoProcessor.from_pretrained(self._folder, local_files_only=True)  # type: ignore[arg-type]  # a device's name

    def caption(self, film: Film) -> str:
        import torch

        model, processor = self._loaded
        at = np.linspace(0, len(film.frames) - 1, min(_FRAMES, len(film.frames))).round().astype(int)
        images = [{"type": "image", "image": Image.fromarray(film.frames[k])} for k in at]
        messages = [{"role": "user", "content": [*images, {"type": "text", "text": _QUESTION}]}]
        inputs = processor.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            said = model.generate(**inputs, max_new_tokens=_TOKENS, do_sample=False)
        words = processor.batch_decode(said[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]
        return " ".join(str(words).split())
