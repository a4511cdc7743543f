"""One clip of the world: what is shown and heard, and everything that is true of it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from media.encode import ClipEncoder
from media.join import ShotTake, join
from model_runtime.training.world.acting import Acting
from model_runtime.training.world.identity import Identity, Split
from model_runtime.training.world.masks import Masks
from model_runtime.training.world.scene import Scene
from model_runtime.training.world.speech import FPS, RATE, Speech

Pixels = NDArray[np.uint8]

_ENCODER_PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a clip will show, before anything is drawn: cheap to make, enough to draw it."""

    split: Split
    index: int
    scene: Scene
    identities: tuple[Identity, ...]
    """From left to right."""
    caption: str


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A drawn recipe."""

    world: str
    """Digest of the world's configuration."""
    recipe: Recipe
    frames: Pixels
    """[frames, h, w, 3], 25 per second."""
    masks: Masks
    references: tuple[Pixels, ...]
    """One [h, w, 3] per person from left to right: the same person elsewhere, on white as the product frames them."""
    speech: Speech
    acting: tuple[Acting, ...]
    """Head movement of each person."""

    fps = FPS
    sample_rate = RATE

    @property
    def audio(self) -> NDArray[np.float32]:
        return self.speech.audio

    @property
    def caption(self) -> str:
        return self.recipe.caption

    @property
    def truth(self) -> dict[str, str]:
        """Every closed attribute by name: `background`, `0/hat`, `0/identity/skin`, `speaker` ..."""
        flat = {name: str(value) for name, value in self.recipe.scene.attributes.items()}
        for place, identity in enumerate(self.recipe.identities):
            flat |= {f"{place}/identity/{name}": str(value) for name, value in identity.attributes.items()}
        return {**flat, "speaker": str(self.recipe.scene.speaker)}

    def digest(self) -> str:
        """SHA-256 over the world, the recipe and every array: equal for equal clips, in every process."""
        state = hashlib.sha256(f"{self.world} {json.dumps(asdict(self.recipe), sort_keys=True)}".encode())
        for array in self._arrays():
            state.update(f"{array.dtype.str} {array.shape}".encode())
            state.update(np.ascontiguousarray(array).data)
        return state.hexdigest()

    def _arrays(self) -> Iterator[NDArray[np.generic]]:
        yield self.frames
        yield from self.references
        yield from (self.masks.people, self.masks.faces, self.masks.mouths)
        yield from (self.speech.audio, self.speech.opening, self.speech.width)
        for acting in self.acting:
            yield from (acting.shift, acting.roll, acting.turn, acting.lids)

    def write(self, path: Path) -> None:
        """An mp4 with sound, by the product's own encoder and muxer.

        Raises:
            FfmpegFailed: ffmpeg ended badly.
        """
        count, height, width, _ = self.frames.shape
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="clip-") as folder:
            silent, sound = Path(folder) / "silent.mp4", Path(folder) / "speech.wav"
            soundfile.write(sound, self.audio, RATE, subtype="PCM_16")
            with ClipEncoder(silent, width=width, height=height, fps=FPS, timeout_s=_ENCODER_PATIENCE_S) as encoder:
                for frame in self.frames:
                    encoder.write(frame.tobytes())
                encoder.finish()
            take = ShotTake(
                clips=(silent,),
                leads=(0,),
                frames=count,
                speech=sound,
                speech_samples=len(self.audio),
                speech_rate=RATE,
            )
            join([take], path, width=width, height=height, scratch=Path(folder), timeout_s=_ENCODER_PATIENCE_S)
