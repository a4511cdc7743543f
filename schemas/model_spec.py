"""What callsheet must know of a model without importing it: limits, modes, defaults and cost, as data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from schemas.digest import digest
from schemas.errors import InvalidInput
from schemas.mode import Mode

_Spec = TypeVar("_Spec", "ModelSpec", "EngineSpec")

FPS = 25
"""The one frame grid of a shot: every model here renders 25 frames a second."""

SPEECH_RATE = 16_000
"""Samples per second of the mono speech that engines read; 640 of them are one frame."""

SAMPLES_PER_FRAME = SPEECH_RATE // FPS

# The stock negative prompt of Wan2.1's and HuMo's published configuration, byte for byte: a data value.
WAN_NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，"  # noqa: RUF001
    "整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指"  # noqa: RUF001
    "，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融"  # noqa: RUF001
    "合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"  # noqa: RUF001
)


@dataclass(frozen=True, kw_only=True)
class TransformerShape:
    """The geometry that a cost formula needs (HuMo paper and reference configuration)."""

    layers: int
    dim: int
    ffn_dim: int
    audio_dim: int = 1536
    audio_tokens: int = 16
    text_len: int = 512
    spatial_patch: int = 16
    """Pixels of a clip per token and axis: VAE stride 8 times patch 2, times how much the clip is enlarged."""

    def forward_flops(self, *, width: int, height: int, num_frames: int, references: int) -> float:
        """Floating-point operations of one forward pass; a multiply-add counts two.

        Per layer with L tokens of width d: self-attention 8Ld^2 + 4L^2d, text cross-attention
        4Ld^2 + 4*512*d^2 + 4L*512*d, audio cross-attention 4Ld^2 + 4*16N*a*d + 4L*16*d, feed-forward 4L*d*f.
        A shot without reference still takes one placeholder slot.
        """
        latent_frames = (num_frames - 1) // 4 + 1 + max(1, references)
        tokens = latent_frames * (width // self.spatial_patch) * (height // self.spatial_patch)
        d = self.dim
        self_attention = 8 * tokens * d * d + 4 * tokens * tokens * d
        text = 4 * tokens * d * d + 4 * self.text_len * d * d + 4 * tokens * self.text_len * d
        audio = (
            4 * tokens * d * d
            + 4 * self.audio_tokens * latent_frames * self.audio_dim * d
            + 4 * tokens * self.audio_tokens * d
        )
        feed_forward = 4 * tokens * d * self.ffn_dim
        return float(self.layers * (self_attention + text + audio + feed_forward))


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Limits, modes, defaults and cost of one model.

    Sizes are pixels, times seconds, lengths frames at 25 fps.
    """

    name: str
    engine: str
    """The engine that renders with it unless the campaign names another."""
    how_to_get: str = "run `callsheet model fetch {name}`, or bring the lock file from where the weights are"
    """What to do where its weights are not there; `{name}` is the model's."""
    modes: frozenset[Mode] = frozenset(Mode)
    max_frames: int = 97
    """Longest clip; of the form 4n+1."""
    frame_step: int = 4
    """Clips have `frame_step * n + 1` frames."""
    spatial_multiple: int = 16
    upscale: int = 1
    """Sides of a clip's pixels per side of the model's: what it draws is enlarged by a plain filter. All sizes here are
    the clip's."""
    min_side: int = 256
    max_side: int = 1280
    max_pixels: int = 1280 * 720
    max_references: int = 12
    width: int = 832
    height: int = 480
    num_inference_steps: int = 50
    shift: float = 5.0
    negative_prompt: str = WAN_NEGATIVE_PROMPT
    guidance_text: float = 5.0
    guidance_audio: float = 5.5
    guidance_image: float = 4.0
    forwards: dict[Mode, int] = field(default_factory=lambda: {Mode.TIA: 3, Mode.TA: 3, Mode.TI: 2})
    """Forward passes per denoising step, by mode."""
    transformer: TransformerShape | None = None
    flops_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 4.0e14
    """What one device is assumed to reach; an assumption until measured (docs/performance.md)."""

    def clip_frames(self, keep_frames: int) -> int:
        """The next 4n+1 at or above `keep_frames`: what the model renders so that they can be kept."""
        n = -(-(max(1, keep_frames) - 1) // self.frame_step)
        return n * self.frame_step + 1

    def size_error(self, width: int, height: int) -> str | None:
        """Why this size cannot be rendered, or None when it can."""
        m = self.spatial_multiple
        if width % m or height % m:
            return f"{width}x{height} is not a multiple of {m} on both sides"
        if min(width, height) < self.min_side or max(width, height) > self.max_side:
            return f"{width}x{height} has a side outside {self.min_side} to {self.max_side}"
        if width * height > self.max_pixels:
            return f"{width}x{height} has more than {self.max_pixels} pixels"
        return None

    def gpu_seconds(
        self, *, width: int, height: int, num_frames: int, references: int, mode: Mode, steps: int
    ) -> float:
        """Estimated device seconds of one clip, decoding and encoding not counted."""
        if self.transformer is None:
            return 0.0
        flops = self.transformer.forward_flops(width=width, height=height, num_frames=num_frames, references=references)
        return flops * self.forwards[mode] * steps / self.flops_per_second


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """What flows must know of an engine without importing it."""

    name: str
    version: str
    """Part of every render key: raise it when the same input gives other pixels."""
    models: frozenset[str] | None = None
    """The models it can render; None: any, because it only borrows their limits."""
    needs_weights: bool = False
    """True when a render key holds the digest of a lock file (schemas/weights.py) instead of the engine's own."""
    frozen_allowed: bool = False
    """True when a clip whose picture does not move is no fault."""
    max_ranks: int | None = None
    """Devices that can render one clip together; None: as many as a campaign may ask for."""
    seconds_per_megapixel_frame: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Cost on one CPU core for engines that run no model; None: the model's own formula holds."""

    def renders(self, model: ModelSpec) -> bool:
        return self.models is None or model.name in self.models

    def seconds(
        self, model: ModelSpec, *, width: int, height: int, num_frames: int, references: int, mode: Mode, steps: int
    ) -> float:
        """Estimated seconds to render one clip on one device of this engine."""
        if self.seconds_per_megapixel_frame is not None:
            return self.seconds_per_megapixel_frame * width * height * num_frames / 1e6
        return model.gpu_seconds(
            width=width, height=height, num_frames=num_frames, references=references, mode=mode, steps=steps
        )


HUMO_17B = ModelSpec(
    name="humo-17B",
    engine="humo",
    transformer=TransformerShape(layers=40, dim=5120, ffn_dim=13824),
)
HUMO_1_7B = ModelSpec(
    name="humo-1.7B",
    engine="humo",
    guidance_text=7.5,
    guidance_audio=7.5,
    forwards={Mode.TIA: 4, Mode.TA: 3, Mode.TI: 3},
    transformer=TransformerShape(layers=30, dim=1536, ffn_dim=8960),
)
HUMO_SMALL = ModelSpec(
    name="humo-small",
    engine="humo",
    how_to_get="its weights lie in the project's folder examples/weights: set CALLSHEET_WEIGHTS to that",
    max_frames=33,
    spatial_multiple=96,
    upscale=6,
    min_side=384,
    max_side=576,
    max_pixels=576 * 384,
    max_references=2,
    width=384,
    height=384,
    num_inference_steps=16,
    shift=2.0,
    guidance_text=2.5,
    guidance_audio=5.5,
    guidance_image=3.5,
    forwards={Mode.TIA: 4, Mode.TA: 3, Mode.TI: 3},
    transformer=TransformerShape(
        layers=6, dim=160, ffn_dim=640, audio_dim=96, audio_tokens=8, text_len=96, spatial_patch=96
    ),
    flops_per_second=2.0e10,
)
"""HuMo in every rule, trained here on drawn people: 64x64 enlarged 6 times, clips of up to 33 frames, one CPU core."""
TINY_RANDOM = ModelSpec(
    name="tiny-random",
    engine="humo",
    how_to_get="run `callsheet model make-tiny {name}`",
    min_side=32,
    max_side=512,
    max_pixels=512 * 512,
    width=64,
    height=64,
    num_inference_steps=2,
    transformer=TransformerShape(layers=2, dim=64, ffn_dim=128, audio_dim=48, text_len=64),
    flops_per_second=2.0e10,
)
"""HuMo in every rule, with random weights and a few megabytes: it tries the whole way and its videos are noise."""

ANIMATIC = EngineSpec(
    name="animatic",
    version="1",
    frozen_allowed=True,
    seconds_per_megapixel_frame=0.03,
)
PATTERN = EngineSpec(name="pattern", version="1", seconds_per_megapixel_frame=0.002)
"""Moving test pictures, for tests of everything around an engine; never for a campaign."""
HUMO = EngineSpec(
    name="humo",
    version="1",
    models=frozenset({"humo-17B", "humo-1.7B", "humo-small", "tiny-random"}),
    needs_weights=True,
    max_ranks=1,
)

DEFAULT_MODEL = HUMO_17B.name


def models() -> dict[str, ModelSpec]:
    """Every known model by name: the shipped ones, then those of installed plug-ins.

    A plug-in registers a `ModelSpec` under the entry-point group `callsheet.models`.
    """
    known = {spec.name: spec for spec in (HUMO_17B, HUMO_1_7B, HUMO_SMALL, TINY_RANDOM)}
    for point in entry_points(group="callsheet.models"):
        spec = _validated(point, ModelSpec)
        known[spec.name] = spec
    return known


def engine_specs() -> dict[str, EngineSpec]:
    """Every known engine by name; plug-ins register an `EngineSpec` under `callsheet.engine_specs`."""
    known = {spec.name: spec for spec in (ANIMATIC, HUMO, PATTERN)}
    for point in entry_points(group="callsheet.engine_specs"):
        spec = _validated(point, EngineSpec)
        known[spec.name] = spec
    return known


def _validated(point: EntryPoint, kind: type[_Spec]) -> _Spec:
    """A plug-in's spec with each field of its type: what is planned with it is not validated again.

    Raises:
        InvalidInput: it is no such spec.
    """
    given = point.load()
    names = tuple(kind.__dataclass_fields__)
    if not isinstance(given, kind):
        wrong = f"it is a {type(given).__name__}, expected a {kind.__name__}"
    else:
        try:
            sound = TypeAdapter(kind).validate_python({name: getattr(given, name) for name in names})
            return replace(given, **{name: getattr(sound, name) for name in names})
        except ValidationError as error:
            faults = [(".".join(map(str, one["loc"])), one["input"], one["msg"]) for one in error.errors()]
            wrong = "; ".join(f"{name} is {value!r}: {message}" for name, value, message in faults)
    raise InvalidInput(
        f"the plug-in {point.name} ({point.value}) gives a spec that cannot be used: {wrong}",
        fix="mend the plug-in, or uninstall its package",
    )


def engine_digest(engine: EngineSpec, model: ModelSpec) -> str:
    """What stands for the weights in a render key when the engine has none of its own."""
    return digest(["engine", engine.name, engine.version, model.name])


def find_model(name: str) -> ModelSpec:
    """The model of that name.

    Raises:
        InvalidInput: no such model; the message lists the known ones.
    """
    known = models()
    if name not in known:
        raise InvalidInput(
            f"unknown model {name!r}; known: {', '.join(sorted(known))}", fix="choose one of the known models"
        )
    return known[name]


def find_engine(name: str) -> EngineSpec:
    """The engine spec of that name.

    Raises:
        InvalidInput: no such engine; the message lists the known ones.
    """
    known = engine_specs()
    if name not in known:
        raise InvalidInput(
            f"unknown engine {name!r}; known: {', '.join(sorted(known))}", fix="choose one of the known engines"
        )
    return known[name]
