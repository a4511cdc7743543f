"""Speech without music and noise, by the separator that HuMo's repository names: Kim_Vocal_2 (MDX-Net)."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from media.resampling import Resampler, fit
from model_runtime.dataset.requirements import release, require
from model_runtime.dataset.seams import About, Truth, Vector
from schemas.dataset import DatasetOrder
from schemas.errors import Permanent
from schemas.model_spec import SPEECH_RATE

_FILE = "Kim_Vocal_2.onnx"
_GET = (
    "pip install audio-separator onnxruntime; hf download huangjackson/Kim_Vocal_2 Kim_Vocal_2.onnx --local-dir into "
    "the named folder, or use the enhancer none"
)


class VocalsEnhancer:
    """Keeps the voices of a mix.

    Raises:
        InvalidInput: packages or weights are missing.
    """

    def __init__(self, order: DatasetOrder) -> None:
        self._folder = Path(order.weights) / "kim-vocal-2"
        packages = ("audio_separator", "onnxruntime")
        mark = require("kim-vocal-2", packages=packages, folder=self._folder, files=(_FILE,), get=_GET)
        self.about = About(name="kim-vocal-2", version=f"1 audio-separator {release('audio-separator')} {mark}")

    @cached_property
    def _separator(self) -> Any:
        from audio_separator.separator import Separator  # type: ignore[import-not-found]  # an optional package

        return Separator(model_file_dir=str(self._folder), output_single_stem="Vocals", output_format="WAV")

    def enhance(self, sound: Vector, truth: Truth | None) -> Vector:  # noqa: ARG002 - the seam's
        with tempfile.TemporaryDirectory(prefix="vocals-") as folder:
            mix = Path(folder) / "mix.wav"
            soundfile.write(mix, sound, SPEECH_RATE, subtype="FLOAT")
            self._separator.output_dir = folder
            if getattr(self._separator, "model_instance", None) is None:
                self._separator.load_model(_FILE)
            self._separator.model_instance.output_dir = folder
            written = [Path(folder) / Path(name).name for name in self._separator.separate(str(mix))]
            if len(written) != 1 or not written[0].is_file():
                raise Permanent(f"audio-separator wrote {[one.name for one in written]}, expected one file of vocals")
            voices, rate = soundfile.read(written[0], dtype="float32", always_2d=True)
        resampler = Resampler(rate, SPEECH_RATE)
        pieces = [resampler.feed(np.ascontiguousarray(voices.mean(1))), resampler.end()]
        return fit(np.concatenate(pieces), len(sound))
