"""Limits and cost of the models, as data."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import InvalidInput
from schemas.mode import Mode
from schemas.model_spec import ANIMATIC, HUMO, HUMO_1_7B, HUMO_17B, engine_specs, find_engine, find_model, models


@pytest.mark.parametrize(("keep", "rendered"), [(1, 1), (2, 5), (5, 5), (94, 97), (97, 97), (26, 29)])
def test_the_model_renders_the_next_4n_plus_1(keep: int, rendered: int) -> None:
    """What is rendered is of the form 4n+1 and never less than what is kept."""
    assert HUMO_17B.clip_frames(keep) == rendered


def test_the_default_size_fits_and_others_say_why() -> None:
    """A size is refused for its multiple, its side or its area, by name."""
    assert HUMO_17B.size_error(HUMO_17B.width, HUMO_17B.height) is None
    assert HUMO_17B.size_error(720, 1280) is None
    assert "multiple of 16" in str(HUMO_17B.size_error(850, 480))
    assert "side outside" in str(HUMO_17B.size_error(128, 480))
    assert "more than" in str(HUMO_17B.size_error(1280, 1280))


def test_cost_formula_meets_the_known_figures() -> None:
    """One forward at 832x480 and 97 frames: 2.5 PFLOP with 17B, 0.42 with 1.7B; 9.8 at 1280x720 with 17B."""
    small = {"width": 832, "height": 480, "num_frames": 97, "references": 1}
    assert HUMO_17B.transformer is not None
    assert HUMO_1_7B.transformer is not None
    assert HUMO_17B.transformer.forward_flops(**small) == pytest.approx(2.5e15, rel=0.02)
    assert HUMO_1_7B.transformer.forward_flops(**small) == pytest.approx(0.42e15, rel=0.02)
    large = {**small, "width": 1280, "height": 720}
    assert HUMO_17B.transformer.forward_flops(**large) == pytest.approx(9.8e15, rel=0.02)


def test_time_grows_with_modes_steps_and_references() -> None:
    """More forwards, steps or references cost more; an engine without a model has its own price."""
    base = {"width": 832, "height": 480, "num_frames": 97, "references": 1, "mode": Mode.TIA, "steps": 50}
    seconds = HUMO.seconds(HUMO_17B, **base)
    assert HUMO.seconds(HUMO_17B, **{**base, "mode": Mode.TI}) == pytest.approx(seconds * 2 / 3)
    assert HUMO.seconds(HUMO_17B, **{**base, "steps": 25}) == pytest.approx(seconds / 2)
    assert HUMO.seconds(HUMO_17B, **{**base, "references": 3}) > seconds
    assert 0 < ANIMATIC.seconds(HUMO_17B, **base) < seconds


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs a package whose model and engine are written as given."""

    def install(code: str) -> None:
        (tmp_path / "odd_plug.py").write_text(f"from schemas.model_spec import *\n{code}\n")
        about = tmp_path / "odd_plug-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-plug\nVersion: 1\n")
        points = "[callsheet.models]\nodd = odd_plug:MODEL\n[callsheet.engine_specs]\nodd = odd_plug:ENGINE\n"
        (about / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "odd_plug", raising=False)

    return install


def test_a_plug_ins_numbers_are_of_the_fields_types(plug_in: Callable[[str], None]) -> None:
    """Its clips have the keys that they would have if it had been written with care; its own formulas stay its own."""
    plug_in(
        "class Mine(ModelSpec):\n    def gpu_seconds(self, **_): return 7.0\n"
        "MODEL = Mine(name='odd', engine='odd', width=832.0, max_frames=97.0, num_inference_steps='20', shift=5)\n"
        "ENGINE = EngineSpec(name='odd', version='1', seconds_per_megapixel_frame=2)"
    )
    model, engine = find_model("odd"), find_engine("odd")
    assert repr((model.width, model.max_frames, model.num_inference_steps, model.shift)) == "(832, 97, 20, 5.0)"
    assert repr(engine.seconds_per_megapixel_frame) == "2.0"
    small = {"width": 64, "height": 64, "num_frames": 5, "references": 1, "steps": 1}
    assert model.gpu_seconds(mode=Mode.TIA, **small) == 7.0


@pytest.mark.parametrize(
    ("model", "engine", "told"),
    [
        ("ModelSpec(name='odd', engine='odd', negative_prompt=None)", "HUMO", "negative_prompt is None"),
        ("ModelSpec(name='odd', engine='odd', flops_per_second=-1)", "HUMO", "flops_per_second is -1"),
        ("HUMO_17B", "EngineSpec(name='odd', version=2)", "version is 2"),
        ("HUMO_17B", "EngineSpec(name='odd', version='2', seconds_per_megapixel_frame=float('nan'))", "is nan"),
        ("HUMO_17B", "ModelSpec(name='odd', engine='odd')", "it is a ModelSpec, expected a EngineSpec"),
    ],
)
def test_a_plug_in_that_cannot_be_planned_with_is_refused(
    plug_in: Callable[[str], None], model: str, engine: str, told: str
) -> None:
    """Before anything is written: no worker could read its jobs."""
    plug_in(f"MODEL = {model}\nENGINE = {engine}")
    with pytest.raises(InvalidInput, match=re.escape(told)) as caught:
        (models(), engine_specs())
    assert "the plug-in odd (odd_plug:" in str(caught.value)


def test_unknown_names_answer_with_the_known_ones() -> None:
    """Whoever mistypes a model or an engine sees what there is."""
    with pytest.raises(InvalidInput, match=r"humo-1\.7B, humo-17B"):
        find_model("humo-99B")
    with pytest.raises(InvalidInput, match="animatic"):
        find_engine("anim")
    assert find_model("humo-17B") is models()["humo-17B"]
    assert find_engine("animatic") == engine_specs()["animatic"]
