"""HuMo as an engine: from a weights folder and local files to frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from model_runtime.engine import Cancelled, Frame, Gang, LocalInputs, RenderTask
from model_runtime.engines.humo import HumoEngine
from model_runtime.humo.loaded import visiting
from schemas.errors import InvalidInput, InvalidMedia
from schemas.job import RenderRequest
from schemas.mode import Mode
from schemas.model_spec import HUMO, TINY_RANDOM, ModelSpec
from schemas.problem import Code
from tests.support.tiny_humo import TINY

SPECS = {name: dataclasses.replace(TINY_RANDOM, name=name) for name in TINY}
FRAMES = 9


class Watcher:
    """A context that remembers, and stops where it is told to."""

    def __init__(self, stop_at: tuple[str, int] | None = None) -> None:
        self.frames: list[Frame] = []
        self.said: list[tuple[str, int, int]] = []
        self._stop_at = stop_at

    def progress(self, phase: str, done: int, total: int) -> None:
        self.said.append((phase, done, total))
        if self._stop_at == (phase, done):
            raise Cancelled

    def frame(self, frame: Frame) -> None:
        self.frames.append(frame)


@pytest.fixture(scope="session")
def engines(tiny_weights: dict[str, Path]) -> Iterator[dict[str, HumoEngine]]:
    """Warm engines by model name."""
    opened = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in tiny_weights.items():
            patch.setenv("CALLSHEET_WEIGHTS", str(folder))
            opened[name] = HumoEngine()
            opened[name].open(SPECS[name], Gang())
    yield opened
    for engine in opened.values():
        engine.close()


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> LocalInputs:
    """Two pictures and two seconds of changing sound."""
    folder = tmp_path_factory.mktemp("inputs")
    random = np.random.default_rng(1)
    pictures = []
    for index, (width, height) in enumerate(((90, 70), (64, 128))):
        pictures.append(folder / f"{index}.png")
        Image.fromarray(random.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(pictures[-1])
    time = np.arange(2 * 16_000) / 16_000
    soundfile.write(folder / "a.wav", 0.4 * np.sin(2 * np.pi * (200 + 300 * time) * time), 16_000, subtype="PCM_16")
    return LocalInputs(images=tuple(pictures), speech=folder / "a.wav")


def request(**changes: Any) -> RenderRequest:
    values: dict[str, Any] = {
        "engine": HUMO.name,
        "engine_version": HUMO.version,
        "model": TINY_RANDOM.name,
        "model_digest": "",
        "mode": Mode.TIA,
        "prompt": "a person speaks",
        "negative_prompt": "",
        "start_sample": 0,
        "end_sample": FRAMES * 640,
        "start_frame": 0,
        "keep_frames": FRAMES,
        "num_frames": FRAMES,
        "seed": 2**62,
        "width": 48,
        "height": 32,
        "num_inference_steps": 3,
        "shift": 5.0,
        "guidance_text": 5.0,
        "guidance_audio": 5.5,
        "guidance_image": 4.0,
    }
    return RenderRequest(**values | changes)


def render(engine: HumoEngine, inputs: LocalInputs, **changes: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    watcher = Watcher()
    engine.render(RenderTask(request=request(**changes), inputs=inputs), watcher)
    return np.stack(watcher.frames)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("name", TINY)
def test_every_mode_gives_the_frames_that_were_asked_for(
    engines: dict[str, HumoEngine], inputs: LocalInputs, name: str, mode: Mode
) -> None:
    """Number, size and type are the request's, the picture moves, and an equal request gives equal frames."""
    video = render(engines[name], inputs, mode=mode)
    assert video.shape == (FRAMES, 32, 48, 3)
    assert video.dtype == np.uint8
    assert video.std(axis=(1, 2, 3)).min() > 5
    assert np.abs(np.diff(video.astype(int), axis=0)).mean(axis=(1, 2, 3)).min() > 1
    assert np.array_equal(video, render(engines[name], inputs, mode=mode))


def test_what_a_small_model_draws_is_enlarged(
    engines: dict[str, HumoEngine], inputs: LocalInputs, tiny_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that enlarges twice draws the half of what is asked for, and its pictures go through a plain filter."""
    name = TINY[0]
    monkeypatch.setenv("CALLSHEET_WEIGHTS", str(tiny_weights[name]))
    twice = HumoEngine()
    twice.open(dataclasses.replace(SPECS[name], upscale=2, spatial_multiple=32), Gang())
    large = render(twice, inputs, width=96, height=64)
    twice.close()
    small = render(engines[name], inputs, width=48, height=32)
    assert large.shape == (FRAMES, 64, 96, 3)
    for ours, drawn in zip(large, small, strict=True):
        assert np.array_equal(ours, Image.fromarray(drawn).resize((96, 64), Image.Resampling.LANCZOS))
    with pytest.raises(InvalidMedia) as refused:
        render(engines[name], inputs, width=40, height=32)
    assert refused.value.code is Code.SIZE_UNSUPPORTED


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 3},
        {"prompt": "somebody else"},
        {"negative_prompt": "ugly"},
        {"guidance_text": 2.0},
        {"guidance_audio": 2.0},
        {"num_inference_steps": 4},
        {"shift": 3.0},
        {"start_sample": 12_800, "end_sample": 12_800 + FRAMES * 640},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_setting_counts(
    engines: dict[str, HumoEngine], inputs: LocalInputs, name: str, changes: dict[str, Any]
) -> None:
    """Whatever stands in a render key changes the picture."""
    assert not np.array_equal(render(engines[name], inputs), render(engines[name], inputs, **changes))


@pytest.mark.parametrize("name", TINY)
def test_pictures_count_and_so_does_their_order(engines: dict[str, HumoEngine], inputs: LocalInputs, name: str) -> None:
    """Another order, and fewer pictures, give another clip."""
    turned = dataclasses.replace(inputs, images=inputs.images[::-1])
    fewer = dataclasses.replace(inputs, images=inputs.images[:1])
    video = render(engines[name], inputs)
    assert not np.array_equal(video, render(engines[name], turned))
    assert not np.array_equal(video, render(engines[name], fewer))


def test_the_image_scale_is_the_small_models_own(engines: dict[str, HumoEngine], inputs: LocalInputs) -> None:
    """The 1.7B weighs pictures by themselves, the 17B does not."""
    for name, counts in (("tiny-random-1.7B", True), ("tiny-random", False)):
        same = np.array_equal(render(engines[name], inputs), render(engines[name], inputs, guidance_image=1.0))
        assert same is not counts


def test_inputs_that_the_mode_lacks_are_left_alone(engines: dict[str, HumoEngine], inputs: LocalInputs) -> None:
    """A mode without pictures or speech does not look at them."""
    engine = engines["tiny-random"]
    assert np.array_equal(
        render(engine, inputs, mode=Mode.TA), render(engine, LocalInputs(speech=inputs.speech), mode=Mode.TA)
    )
    assert np.array_equal(
        render(engine, inputs, mode=Mode.TI), render(engine, LocalInputs(images=inputs.images), mode=Mode.TI)
    )


def test_no_negative_prompt_means_the_models_own(engines: dict[str, HumoEngine], inputs: LocalInputs) -> None:
    """An empty negative prompt falls back to the published one."""
    engine = engines["tiny-random"]
    stock = render(engine, inputs, negative_prompt=TINY_RANDOM.negative_prompt)
    assert np.array_equal(render(engine, inputs), stock)


def test_clips_do_not_depend_on_what_was_rendered_before(
    tiny_weights: dict[str, Path], inputs: LocalInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Remembered zero latents and negative prompts change nothing: longer, shorter and other sizes in any order."""
    monkeypatch.setenv("CALLSHEET_WEIGHTS", str(tiny_weights["tiny-random"]))
    orders = ([5, 13], [13, 5])
    seen: list[dict[int, np.ndarray[Any, Any]]] = []
    for order in orders:
        engine = HumoEngine()
        engine.open(TINY_RANDOM, Gang())
        seen.append({frames: render(engine, inputs, num_frames=frames, mode=Mode.TI) for frames in order})
    assert all(np.array_equal(seen[0][frames], seen[1][frames]) for frames in orders[0])


def test_speech_shorter_than_the_clip_is_rendered_to_its_end(
    engines: dict[str, HumoEngine], inputs: LocalInputs
) -> None:
    """A range that reaches beyond the end of the speech gives a clip of full length."""
    video = render(engines["tiny-random"], inputs, start_sample=31_000, end_sample=31_000 + FRAMES * 640)
    assert video.shape[0] == FRAMES


def test_progress_tells_every_step_and_frame(engines: dict[str, HumoEngine], inputs: LocalInputs) -> None:
    """Preparing, then one message per denoising step, then one per decoded frame."""
    watcher = Watcher()
    engines["tiny-random"].render(RenderTask(request=request(), inputs=inputs), watcher)
    assert [done for phase, done, total in watcher.said if phase == "denoise" and total == 3] == [0, 1, 2, 3]
    assert [done for phase, done, total in watcher.said if phase == "decode" and total == FRAMES] == [*range(FRAMES)]
    assert list(dict.fromkeys(phase for phase, _, _ in watcher.said)) == ["prepare", "denoise", "decode"]


@pytest.mark.parametrize("stop_at", [("prepare", 1), ("denoise", 1), ("decode", 5)])
def test_a_stop_is_noticed_and_the_engine_stays_usable(
    engines: dict[str, HumoEngine], inputs: LocalInputs, stop_at: tuple[str, int]
) -> None:
    """Cancelled in any phase, nothing more is made; the next clip is what it would have been."""
    engine = engines["tiny-random"]
    before = render(engine, inputs)
    watcher = Watcher(stop_at)
    with pytest.raises(Cancelled):
        engine.render(RenderTask(request=request(), inputs=inputs), watcher)
    assert watcher.said[-1][:2] == stop_at
    assert len(watcher.frames) == (5 if stop_at[0] == "decode" else 0)
    assert np.array_equal(before, render(engine, inputs))


@pytest.mark.parametrize(
    ("changes", "given", "code"),
    [
        ({"width": 50}, {}, Code.SIZE_UNSUPPORTED),
        ({"width": 1024}, {}, Code.SIZE_UNSUPPORTED),
        ({"num_frames": 8}, {}, Code.DURATION_INVALID),
        ({"num_frames": 101}, {}, Code.DURATION_INVALID),
        ({}, {"images": 13}, Code.REFERENCES_TOO_MANY),
        ({}, {"images": 0}, Code.REFERENCE_MISSING),
        ({"mode": Mode.TI}, {"images": 0}, Code.REFERENCE_MISSING),
        ({"start_sample": 32_000, "end_sample": 40_000}, {}, Code.AUDIO_TOO_SHORT),
        ({"start_sample": 90_000, "end_sample": 99_000}, {}, Code.AUDIO_TOO_SHORT),
        ({"end_sample": 0}, {}, Code.AUDIO_TOO_SHORT),
        ({"mode": Mode.TA}, {"speech": None}, Code.REFERENCE_MISSING),
    ],
)
def test_what_cannot_be_rendered_is_refused_first(
    engines: dict[str, HumoEngine],
    inputs: LocalInputs,
    changes: dict[str, Any],
    given: dict[str, Any],
    code: Code,
) -> None:
    """Sizes, lengths, references and speech beyond the model blame the row before anything is computed."""
    images = (inputs.images[:1] * given["images"]) if "images" in given else inputs.images
    task = RenderTask(
        request=request(**changes),
        inputs=LocalInputs(images=images, speech=given.get("speech", inputs.speech)),
    )
    watcher = Watcher()
    with pytest.raises(InvalidMedia) as caught:
        engines["tiny-random"].render(task, watcher)
    assert caught.value.code is code
    assert caught.value.fix
    assert watcher.said == []


def test_speech_of_no_length_is_refused_first(
    engines: dict[str, HumoEngine], inputs: LocalInputs, tmp_path: Path
) -> None:
    """A file without a sample blames the row, says how many were expected, and nothing is computed."""
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    task = RenderTask(request=request(), inputs=dataclasses.replace(inputs, speech=tmp_path / "empty.wav"))
    watcher = Watcher()
    with pytest.raises(InvalidMedia, match=r"0 samples of speech .* expected at least 640") as caught:
        engines["tiny-random"].render(task, watcher)
    assert caught.value.code is Code.AUDIO_TOO_SHORT
    assert watcher.said == []


def test_twelve_references_are_rendered(engines: dict[str, HumoEngine], inputs: LocalInputs) -> None:
    """As many pictures as the limit allows take as many slots."""
    many = dataclasses.replace(inputs, images=inputs.images * 6)
    for engine in engines.values():
        assert render(engine, many, num_frames=5, num_inference_steps=1).shape[0] == 5


def test_speech_of_another_rate_is_refused(engines: dict[str, HumoEngine], inputs: LocalInputs, tmp_path: Path) -> None:
    """Engines are given mono 16 kHz; anything else is a damaged input."""
    soundfile.write(tmp_path / "b.wav", np.zeros(8000), 8000)
    (tmp_path / "c.wav").write_bytes(b"no sound")
    for name in ("b.wav", "c.wav"):
        with pytest.raises(InvalidMedia) as caught:
            render(engines["tiny-random"], dataclasses.replace(inputs, speech=tmp_path / name))
        assert caught.value.code is Code.AUDIO_CORRUPT


def open_with(folder: Path, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch, gang: Gang | None = None) -> None:
    monkeypatch.setenv("CALLSHEET_WEIGHTS", str(folder))
    HumoEngine().open(spec, gang or Gang())


def test_the_digest_is_the_locks(tiny_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known without loading, and differs between models."""
    digests = set()
    for name, folder in tiny_weights.items():
        monkeypatch.setenv("CALLSHEET_WEIGHTS", str(folder))
        digests.add(HumoEngine().digest(SPECS[name]))
    assert len(digests) == 2
    monkeypatch.setenv("CALLSHEET_WEIGHTS", "nowhere")
    with pytest.raises(InvalidInput, match="no weights"):
        HumoEngine().digest(TINY_RANDOM)


def test_opening_refuses_what_differs_from_the_lock(
    own_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One flipped bit in any file, and the worker does not start."""
    folder = own_weights["tiny-random"]
    victim = folder / "Wan2.1-T2V-1.3B" / "Wan2.1_VAE.safetensors"
    data = bytearray(victim.read_bytes())
    data[-1] ^= 128
    victim.write_bytes(data)
    with pytest.raises(InvalidInput, match=r"Wan2\.1_VAE\.safetensors has SHA-256"):
        open_with(folder, TINY_RANDOM, monkeypatch)


def test_opening_refuses_the_wrong_folder_and_more_ranks(
    tiny_weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No weights, another model's weights, a gang of two: each is said before anything is loaded."""
    with pytest.raises(InvalidInput, match="no weights of tiny-random"):
        open_with(tmp_path, TINY_RANDOM, monkeypatch)
    with pytest.raises(InvalidInput, match=r"no weights of tiny-random were"):
        open_with(tiny_weights["tiny-random-1.7B"], TINY_RANDOM, monkeypatch)
    with pytest.raises(InvalidInput, match="2 ranks"):
        open_with(tiny_weights["tiny-random"], TINY_RANDOM, monkeypatch, Gang(world=2))


def test_a_visiting_module_goes_home_untouched() -> None:
    """Inside the block all weights are elsewhere, shared ones still shared; after it they are what they were."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    module[1].weight = module[0].weight
    homes = list(module.parameters())

    def fail() -> None:
        with visiting(module, torch.device("meta")):
            assert all(parameter.is_meta for parameter in module.parameters())
            assert module[1].weight is module[0].weight
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert all(now is home for now, home in zip(module.parameters(), homes, strict=True))
