"""Every engine that needs no device, under one contract; and the table that finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from media.encode import ClipEncoder
from media.output_gate import BadOutput, check_clip
from model_runtime.engine import Cancelled, Engine, Frame, Gang, LocalInputs, RenderTask
from model_runtime.engines import registry
from model_runtime.engines.animatic import AnimaticEngine, read_speech
from model_runtime.engines.testing import PatternEngine, directives
from schemas.digest import sha256_hex
from schemas.errors import InvalidInput, InvalidMedia
from schemas.job import RenderRequest
from schemas.mode import Mode
from schemas.model_spec import HUMO_1_7B, find_engine
from schemas.object_ref import ObjectRef
from tests.support.requests import make_request


class Collected:
    """A context that keeps what an engine gives; stops it at a frame if asked."""

    def __init__(self, *, stop_at: int = -1) -> None:
        self.frames: list[Frame] = []
        self.phases: list[tuple[str, int, int]] = []
        self._stop_at = stop_at

    def progress(self, phase: str, done: int, total: int) -> None:
        self.phases.append((phase, done, total))

    def frame(self, frame: Frame) -> None:
        if len(self.frames) == self._stop_at:
            raise Cancelled
        self.frames.append(frame.copy())


def ref(path: Path) -> ObjectRef:
    data = path.read_bytes()
    return ObjectRef(key=f"inputs/{path.name}", sha256=sha256_hex(data), size=len(data))


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds: silence, then a tone."""
    path = tmp_path / "speech.wav"
    tone = np.sin(np.arange(16_000) * 2 * np.pi * 200 / 16_000) * 16_000
    soundfile.write(path, np.concatenate([np.zeros(16_000), tone]).astype(np.int16), 16_000, subtype="PCM_16")
    return path


def task(request: RenderRequest, *images: Path, speech: Path | None = None) -> RenderTask:
    filled = request.model_copy(update={"images": tuple(map(ref, images)), "speech": ref(speech) if speech else None})
    return RenderTask(request=filled, inputs=LocalInputs(images=images, speech=speech))


def render(engine: Engine, job: RenderTask) -> NDArray[np.uint8]:
    context = Collected()
    engine.open(HUMO_1_7B, Gang())
    engine.render(job, context)
    engine.close()
    return np.stack(context.frames)


ENGINES = [PatternEngine, AnimaticEngine]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("width", "height"), [(64, 64), (832, 480), (480, 832), (96, 320)])
def test_an_engine_gives_what_was_asked_for(engine: type[Engine], width: int, height: int) -> None:
    """Exactly num_frames RGB frames of the asked size, the same ones every time, and they move."""
    job = task(make_request(engine=engine.spec.name, width=width, height=height))
    frames = render(engine(), job)
    assert frames.shape == (9, height, width, 3)
    assert frames.dtype == np.uint8
    assert (frames == render(engine(), job)).all()
    assert all((frames[i] != frames[i + 1]).any() for i in range(8))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_passes_the_gate(engine: type[Engine], tmp_path: Path) -> None:
    """Its clip is neither black nor flat, and moves unless its spec says that it need not."""
    frames = render(engine(), task(make_request(engine=engine.spec.name, num_frames=25, keep_frames=25)))
    path = tmp_path / "clip.mp4"
    with ClipEncoder(path, width=64, height=64, fps=25, timeout_s=20) as encoder:
        for frame in frames:
            encoder.write(frame.tobytes())
        encoder.finish()
    check_clip(path, frames=25, width=64, height=64, fps=25, frozen_allowed=engine.spec.frozen_allowed)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_can_be_stopped(engine: type[Engine]) -> None:
    """A stop passes through the engine at its next frame."""
    context = Collected(stop_at=3)
    opened = engine()
    opened.open(HUMO_1_7B, Gang())
    with pytest.raises(Cancelled):
        opened.render(task(make_request(engine=engine.spec.name)), context)
    assert len(context.frames) == 3


# -- animatic ------------------------------------------------------------------------------------------------------


def animatic(**changes: object) -> RenderRequest:
    return make_request(
        "A woman speaks.", engine="animatic", **{"width": 320, "height": 256, "mode": Mode.TIA, **changes}
    )


def test_the_animatic_frames_the_reference_as_the_model_does(portrait: Path) -> None:
    """White borders left and right of an upright picture, its full height in between."""
    frame = render(AnimaticEngine(), task(animatic(mode=Mode.TI, num_frames=9), portrait))[4]
    middle = frame[100]
    inner = 256 * 300 // 400
    left = (320 - inner) // 2
    assert (middle[: left - 2] == 255).all()
    assert middle[left + 3].mean() < 10
    assert (middle[left + inner + 2 :] == 255).all()


def test_the_mouth_moves_with_the_speech_of_that_very_frame(portrait: Path, speech: Path) -> None:
    """Shut in the silent second, open in the loud one; the change lies on the frame where the sound begins."""
    request = animatic(num_frames=49, keep_frames=49, start_sample=0, end_sample=49 * 640)
    frames = render(AnimaticEngine(), task(request, portrait, speech=speech))
    mouth = frames[3:47, 223:251, 5:33].astype(int)
    moved = np.abs(np.diff(mouth, axis=0)).max(axis=(1, 2, 3))
    assert moved.argmax() + 4 == 25
    assert moved[:21].max() == 0


def test_a_clip_shows_the_speech_of_its_own_range(portrait: Path, speech: Path) -> None:
    """Another range of the same speech gives other pictures; a range beyond the end is silence."""
    early = render(AnimaticEngine(), task(animatic(end_sample=9 * 640), portrait, speech=speech))
    late = render(
        AnimaticEngine(), task(animatic(start_sample=16_000, end_sample=16_000 + 9 * 640), portrait, speech=speech)
    )
    assert (early != late).any()
    assert len(read_speech(speech, 31_000, 40_000)) == 1_000
    assert len(read_speech(speech, 32_000, 40_000)) == 0


def test_every_cut_can_be_seen(portrait: Path) -> None:
    """The first and the last kept frames wear borders; a clip that begins inside a shot has another colour."""
    first = render(AnimaticEngine(), task(animatic(mode=Mode.TI), portrait))
    inside = render(AnimaticEngine(), task(animatic(mode=Mode.TI, start_frame=97), portrait))
    corner = [tuple(frame[0, 0]) for frame in first]
    assert corner[0] == corner[1] != corner[4]
    assert corner[6] == corner[7] != corner[4]
    assert corner[0] != tuple(inside[0][0, 0])
    assert corner[7] == tuple(inside[7][0, 0])


def test_the_running_timecode_is_the_shots(portrait: Path) -> None:
    """Two clips of one shot differ in the corner where the timecode runs."""
    first = render(AnimaticEngine(), task(animatic(mode=Mode.TI), portrait))
    later = render(AnimaticEngine(), task(animatic(mode=Mode.TI, start_frame=250), portrait))
    assert (first[4][3:15, 220:] != later[4][3:15, 220:]).any()


def test_all_references_are_shown(portrait: Path, tmp_path: Path) -> None:
    """Order matters: two references the other way round give another picture."""
    other = tmp_path / "other.png"
    Image.new("RGB", (200, 100), (200, 30, 30)).save(other)
    one = render(AnimaticEngine(), task(animatic(mode=Mode.TI), portrait, other))
    two = render(AnimaticEngine(), task(animatic(mode=Mode.TI), other, portrait))
    assert (one != two).any()
    twelve = render(AnimaticEngine(), task(animatic(mode=Mode.TI), *[portrait] * 12))
    assert (twelve != one).any()


def test_a_damaged_reference_blames_the_row(tmp_path: Path) -> None:
    """The engine reads pictures as strictly as the check at submit."""
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InvalidMedia):
        render(AnimaticEngine(), task(animatic(mode=Mode.TI), path))


# -- the test engine -----------------------------------------------------------------------------------------------


def test_directives_are_read_off_the_prompt() -> None:
    """Names with or without a value, anywhere in the prompt."""
    assert directives("walks [slow=0.05] and [crash] [hang=1]") == {"slow": "0.05", "crash": "", "hang": "1"}


@pytest.mark.parametrize("prompt", ["[black]", "[frozen]", "[short]"])
def test_the_gate_sees_the_faults_that_the_test_engine_makes(prompt: str, tmp_path: Path) -> None:
    """A double whose faults nobody could notice would prove nothing."""
    frames = render(PatternEngine(), task(make_request(prompt)))
    path = tmp_path / "clip.mp4"
    with ClipEncoder(path, width=64, height=64, fps=25, timeout_s=20) as encoder:
        for frame in frames:
            encoder.write(frame.tobytes())
        encoder.finish()
    with pytest.raises(BadOutput):
        check_clip(path, frames=9, width=64, height=64, fps=25, frozen_allowed=False)


# -- the table -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registry.SHIPPED)
def test_every_shipped_engine_is_the_one_to_plan_with(name: str) -> None:
    """It can be constructed without its heavy libraries, and its spec is the registered one."""
    assert registry.find_factory(name)().spec == find_engine(name)


def test_an_unknown_engine_is_refused_with_the_known_names() -> None:
    """The message lists what there is."""
    with pytest.raises(InvalidInput, match="known: animatic, humo, pattern"):
        registry.find_factory("nobody")


def test_an_engine_must_be_the_one_that_was_planned_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spec that differs from the registered one is refused before anything is rendered."""
    other = find_engine("humo")
    monkeypatch.setattr(PatternEngine, "spec", other)
    with pytest.raises(InvalidInput, match="plans were made with"):
        registry.open_engine("pattern", HUMO_1_7B, Gang())
