"""The clips of a suite, and what each is rendered from: with a condition taken away, from another clip's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import soundfile
from PIL import Image

from model_runtime.engine import LocalInputs, RenderTask
from model_runtime.training.world.clip import Recipe
from model_runtime.training.world.identity import Split
from model_runtime.training.world.speech import RATE
from model_runtime.training.world.world import World
from schemas.digest import sha256_hex
from schemas.errors import InvalidInput
from schemas.evaluation import Asked, Condition, Suite
from schemas.job import RenderRequest
from schemas.model_spec import SAMPLES_PER_FRAME, EngineSpec, ModelSpec
from schemas.object_ref import ObjectRef


def world_of(suite: Suite) -> World:
    """The world that a suite's clips are of.

    Raises:
        InvalidInput: it cannot be drawn so.
    """
    return World(seed=suite.world_seed, width=suite.width, height=suite.height, frames=suite.frames, duos=suite.duos)


def split_of(suite: Suite) -> Split:
    """Which combinations of identity it shows.

    Raises:
        InvalidInput: there is no such split.
    """
    try:
        return Split(suite.split)
    except ValueError as error:
        raise InvalidInput(f"unknown split {suite.split!r}", fix=f"choose one of {', '.join(Split)}") from error


def recipes(suite: Suite, *, start: int = 0, amount: int | None = None) -> Iterator[Recipe]:
    """Those of `amount` clips from the suite's `start`th on."""
    world, split = world_of(suite), split_of(suite)
    last = suite.count if amount is None else min(suite.count, start + amount)
    for number in range(start, last):
        yield world.recipe(suite.start + number, split)


def donor(world: World, recipe: Recipe) -> Recipe:
    """The next clip with as many people: whatever is taken from it has nothing to do with this one."""
    for index in count(recipe.index + 1):
        other = world.recipe(index, recipe.split)
        if len(other.identities) == len(recipe.identities) and other.scene.speaker == recipe.scene.speaker:
            return other
    raise AssertionError("the world has no last clip")


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Makes engine's tasks of recipes; their inputs are written into `folder`."""

    asked: Asked
    engine: EngineSpec
    model: ModelSpec
    weights: str
    folder: Path

    def task(self, recipe: Recipe) -> RenderTask:
        """What the engine is given, as the product would give it.

        Raises:
            InvalidInput: the model renders no clips of the suite's length.
        """
        asked, world = self.asked, world_of(self.asked.suite)
        other = donor(world, recipe)
        shown = other if asked.condition is Condition.OTHER_REFERENCE else recipe
        heard = other if asked.condition is Condition.OTHER_SPEECH else recipe
        pictures = self._pictures(world, shown) if asked.mode.has_images else ()
        speech = self._speech(world, heard) if asked.mode.has_speech else None
        given = {"images": tuple(map(_ref, pictures)), "speech": _ref(speech) if speech else None}
        request = self._request(recipe).model_copy(update=given)
        return RenderTask(request=request, inputs=LocalInputs(images=pictures, speech=speech))

    def _request(self, recipe: Recipe) -> RenderRequest:
        asked, model, scales = self.asked, self.model, self.asked.scales
        suite = asked.suite
        if model.clip_frames(suite.frames) != suite.frames or suite.frames > model.max_frames:
            raise InvalidInput(
                f"{model.name} renders clips of {model.frame_step}n + 1 frames up to {model.max_frames}, "
                f"the suite has {suite.frames}",
                fix="give --frames that it renders",
            )
        return RenderRequest(
            engine=self.engine.name,
            engine_version=self.engine.version,
            model=model.name,
            model_digest=self.weights,
            mode=asked.mode,
            prompt=model.negative_prompt if asked.condition is Condition.NO_TEXT else recipe.caption,
            negative_prompt=model.negative_prompt,
            start_sample=0,
            end_sample=suite.frames * SAMPLES_PER_FRAME if asked.mode.has_speech else 0,
            start_frame=0,
            keep_frames=suite.frames,
            num_frames=suite.frames,
            seed=asked.seed * 1_000_003 + recipe.index,
            width=suite.width * model.upscale,
            height=suite.height * model.upscale,
            num_inference_steps=scales.steps or model.num_inference_steps,
            shift=model.shift if scales.shift is None else scales.shift,
            guidance_text=model.guidance_text if scales.text is None else scales.text,
            guidance_audio=model.guidance_audio if scales.audio is None else scales.audio,
            guidance_image=model.guidance_image if scales.image is None else scales.image,
        )

    def _pictures(self, world: World, recipe: Recipe) -> tuple[Path, ...]:
        paths = []
        for place in range(len(recipe.identities)):
            path = self.folder / f"reference-{place}.png"
            Image.fromarray(world.reference(recipe, place)).save(path)
            paths.append(path)
        return tuple(paths)

    def _speech(self, world: World, recipe: Recipe) -> Path:
        path = self.folder / "speech.wav"
        soundfile.write(path, world.speech(recipe).audio, RATE, subtype="PCM_16")
        return path


def _ref(path: Path) -> ObjectRef:
    data = path.read_bytes()
    return ObjectRef(key=path.name, sha256=sha256_hex(data), size=len(data))
