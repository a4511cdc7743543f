"""Where the judged frames come from: an engine, the world itself, or the world through an autoencoder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_runtime.engine import Engine, Frame, Gang, RenderTask
from model_runtime.engines.registry import find_factory, open_engine
from model_runtime.evaluation.store import Store
from model_runtime.evaluation.suite import Writer, recipes, world_of
from model_runtime.training.world.clip import Recipe
from model_runtime.training.world.world import World
from schemas.digest import digest
from schemas.errors import InvalidInput
from schemas.evaluation import VERSION, Asked, Subject
from schemas.guidance import Chain
from schemas.model_spec import find_engine, find_model
from schemas.settings import resolve

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]


class Source(Protocol):
    """Frames of recipes, and the key that says what they are before they are made."""

    weights: str
    """Digest of what makes them."""

    def key(self, recipe: Recipe) -> str: ...

    def make(self, recipe: Recipe) -> Pixels:
        """uint8 [T, H, W, 3]."""
        ...

    def close(self) -> None: ...


def open_source(asked: Asked, scratch: Path) -> Source:
    """What is asked for; heavy parts are loaded when the first frames are.

    Raises:
        InvalidInput: unknown engine, model or weights.
    """
    world = world_of(asked.suite)
    match asked.subject:
        case Subject.TRUE_FRAMES:
            return TrueFrames(world)
        case Subject.ROUND_TRIP:
            return RoundTrip(world, asked.model)
        case Subject.MODEL:
            return Rendered(asked, scratch)


def make_all(asked: Asked, store: Store, *, start: int, amount: int, told: Progress) -> int:
    """Make what is missing of `amount` clips from `start` on; how many that were."""
    with tempfile.TemporaryDirectory(prefix="evaluation-") as folder:
        source = open_source(asked, Path(folder))
        made = 0
        try:
            total = min(amount, asked.suite.count - start)
            for done, recipe in enumerate(recipes(asked.suite, start=start, amount=amount), start=1):
                key = source.key(recipe)
                if not store.has_frames(key):
                    store.put_frames(key, source.make(recipe))
                    made += 1
                told(done, total)
        finally:
            source.close()
        return made


@dataclass
class TrueFrames:
    """The world's own."""

    world: World
    weights = "world"

    def key(self, recipe: Recipe) -> str:
        return digest([VERSION, "true", self.world.digest, recipe.split, recipe.index])

    def make(self, recipe: Recipe) -> Pixels:
        return self.world.draw(recipe).frames

    def close(self) -> None:
        pass


class RoundTrip:
    """The world's own, encoded and decoded by a HuMo model's autoencoder."""

    def __init__(self, world: World, model: str) -> None:
        from model_runtime.engines.humo import weights_folder
        from model_runtime.humo.weights.lockfile import read_lock

        self._world = world
        self._root, self._model = weights_folder(), model
        self.weights = read_lock(self._root, model).digest
        self._trip: Callable[[Pixels], Pixels] | None = None

    def key(self, recipe: Recipe) -> str:
        return digest([VERSION, "round trip", self.weights, self._world.digest, recipe.split, recipe.index])

    def make(self, recipe: Recipe) -> Pixels:
        if self._trip is None:
            self._trip = _autoencoder(self._root, self._model)
        return self._trip(self._world.draw(recipe).frames)

    def close(self) -> None:
        self._trip = None


def _autoencoder(root: Path, name: str) -> Callable[[Pixels], Pixels]:
    import torch

    from model_runtime.humo import vae as video_vae
    from model_runtime.humo.loaded import default_device, default_dtype, load_model
    from model_runtime.humo.weights.layout import find_model as find_humo

    device = default_device()
    vae = load_model(root, find_humo(name), device=device, dtype=default_dtype(device)).vae

    def trip(frames: Pixels) -> Pixels:
        video = torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1
        pieces = [video_vae.to_pixels(piece).cpu() for piece in video_vae.decode(vae, video_vae.encode(vae, video))]
        return np.asarray(torch.cat(pieces))

    return trip


@runtime_checkable
class Guided(Protocol):
    """An engine whose model is guided by a chain that can be swapped."""

    def guide_by(self, chain: Chain) -> None: ...


class Rendered:
    """By an engine of callsheet, opened in this process as a worker's rank opens it."""

    def __init__(self, asked: Asked, scratch: Path) -> None:
        self._spec, self._model = find_engine(asked.engine), find_model(asked.model)
        if not self._spec.renders(self._model):
            raise InvalidInput(
                f"engine {asked.engine!r} cannot render with model {asked.model!r}",
                fix=f"choose one of {', '.join(sorted(self._spec.models or ()))}",
            )
        self.weights = find_factory(asked.engine)().digest(self._model)
        self._chain = asked.scales.chain
        self._engine: Engine | None = None
        self._writer = Writer(asked=asked, engine=self._spec, model=self._model, weights=self.weights, folder=scratch)

    def key(self, recipe: Recipe) -> str:
        key = self._writer.task(recipe).request.render_key
        # A request says nothing of chains: no campaign has any but the model's own.
        return key if self._chain is None else digest([key, self._chain])

    def make(self, recipe: Recipe) -> Pixels:
        if self._engine is None:
            self._engine = self._opened()
        return self._render(self._engine, self._writer.task(recipe))

    def _opened(self) -> Engine:
        engine = open_engine(self._spec.name, self._model, Gang())
        if self._chain is not None:
            if not isinstance(engine, Guided):
                engine.close()
                raise InvalidInput(
                    f"engine {self._spec.name!r} has no {self._chain} guidance, nor any", fix="leave --chain out"
                )
            engine.guide_by(self._chain)
        return engine

    def _render(self, engine: Engine, task: RenderTask) -> Pixels:
        collected = _Collected()
        engine.render(task, collected)
        frames, suite = np.stack(collected.frames), self._writer.asked.suite
        return shrunk(frames, width=suite.width, height=suite.height)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()


def shrunk(frames: Pixels, *, width: int, height: int) -> Pixels:
    """Frames that an engine enlarged, as small as its model drew them: the least-squares inverse of Lanczos."""
    _, rows, columns, _ = frames.shape
    if (rows, columns) == (height, width):
        return frames
    down, across = _shrinker(rows, height), _shrinker(columns, width)
    small = np.einsum("hy,tyxc,wx->thwc", down, frames.astype(np.float32), across, optimize=True)
    return np.asarray(np.clip(np.rint(small), 0, 255), np.uint8)


@lru_cache(maxsize=8)
def _shrinker(large: int, small: int) -> NDArray[np.float32]:
    """[small, large]."""
    # What the filter makes of each single pixel is a column of its matrix.
    pixels = Image.fromarray(np.eye(small, dtype=np.float32)).resize((small, large), Image.Resampling.LANCZOS)
    return np.linalg.pinv(np.asarray(pixels)).astype(np.float32)


class _Collected:
    """A context that keeps every frame."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def progress(self, phase: str, done: int, total: int) -> None:
        pass

    def frame(self, frame: Frame) -> None:
        self.frames.append(frame.copy())


def store_folder() -> Path:
    """Where frames and scores are kept unless a command says otherwise."""
    return Path(resolve(environ=os.environ).settings.home) / "evaluation"
