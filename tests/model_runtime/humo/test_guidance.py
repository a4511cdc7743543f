"""Guidance per size, mode and timestep."""

from __future__ import annotations

import pytest
import torch

from model_runtime.humo.config import Family
from model_runtime.humo.guidance import Branch, Scales, guidance
from schemas.guidance import Chain
from schemas.mode import Mode
from schemas.model_spec import models
from tests.support import humo as golden

RUNS = sorted({key.split(".")[0] for key in golden.tensors("guidance")})
FAMILY = {"17B": Family.CHANNELS, "1_7B": Family.SLOTS}
META = golden.said("guidance", "meta")


def scales(size: str) -> Scales:
    said = META[size]
    optional = {"switch": "step_change", "late_reduction": "late_text_reduction", "image": "scale_i"}
    return Scales(
        text=said["scale_t"],
        audio=said["scale_a"],
        **{ours: said[key] for ours, key in optional.items() if key in said},
    )


@pytest.mark.parametrize("mode", [Mode.TIA, Mode.TA])
@pytest.mark.parametrize("size", golden.SIZES)
@pytest.mark.parametrize("run", RUNS)
def test_combined_velocities_are_the_references(run: str, size: str, mode: Mode) -> None:
    """Every step's combination of branch predictions equals the reference's, on both sides of the switch."""
    io = golden.tensors("guidance")
    steps = [guidance(FAMILY[size], mode, scales(size), t) for t in io[f"{run}.timesteps"].tolist()]
    got = torch.stack(
        [
            step.combine({branch: io[f"{run}.pred.{branch}"][index] for branch in step.branches})
            for index, step in enumerate(steps)
        ]
    )
    assert golden.error(got, io[f"{run}.{size}.{mode}"]) <= golden.GUIDANCE


@pytest.mark.parametrize("run", RUNS)
def test_the_time_adaptive_chain_switches_where_the_reference_does(run: str) -> None:
    """The 17B asks for the branches that the reference asked for, step by step."""
    asked = [
        guidance(Family.CHANNELS, Mode.TIA, scales("17B"), t).branches
        for t in golden.tensors("guidance")[f"{run}.timesteps"].tolist()
    ]
    assert [set(step) for step in asked] == [set(map(Branch, step)) for step in META[f"{run}.17B.TIA.branches"]]
    assert next(i for i, step in enumerate(asked) if Branch.NULL in step) == META[f"{run}.17B.first_step_with_null"]


def test_the_switch_itself_is_late() -> None:
    """A timestep equal to the switch belongs to the late form: the comparison is strict."""
    form = {
        t: guidance(Family.CHANNELS, Mode.TIA, Scales(text=5, audio=5, switch=700), t).base for t in (699, 700, 701)
    }
    assert form == {699: Branch.NULL, 700: Branch.NULL, 701: Branch.I}


@pytest.mark.parametrize("mode", [Mode.TIA, Mode.TA])
def test_the_small_models_chain_never_changes(mode: Mode) -> None:
    """The 1.7B asks for the same branches at every timestep."""
    asked = {guidance(Family.SLOTS, mode, scales("1_7B"), t).branches for t in range(1000)}
    assert [set(step) for step in asked] == [set(map(Branch, META[f"1_7B.{mode}.branches"]))]


@pytest.mark.parametrize("mode", list(Mode))
def test_an_experiment_may_ask_for_the_other_familys_chain(mode: Mode) -> None:
    """Either family renders with either chain; none asked for is the family's own."""
    time_adaptive = Scales(text=5, audio=5, chain=Chain.TIME_ADAPTIVE)
    constant = Scales(text=5, audio=5, chain=Chain.CONSTANT)
    own = Scales(text=5, audio=5)
    for timestep in (999, 981, 980, 500, 1):
        channels = guidance(Family.CHANNELS, mode, own, timestep)
        slots = guidance(Family.SLOTS, mode, own, timestep)
        assert (channels == slots) is (mode is Mode.TA)
        for family in Family:
            assert guidance(family, mode, time_adaptive, timestep) == channels
            assert guidance(family, mode, constant, timestep) == slots


def test_text_and_image_alone_is_the_same_chain_without_speech() -> None:
    """TI leaves out the speech term of TIA: with equal predictions with and without speech, both agree."""
    for family, size in ((Family.CHANNELS, "17B"), (Family.SLOTS, "1_7B")):
        for timestep in (999, 500):
            predictions = {branch: torch.randn(2, 3) for branch in Branch}
            predictions[Branch.TIA], predictions[Branch.TA] = predictions[Branch.TI], predictions[Branch.T]
            with_speech = guidance(family, Mode.TIA, scales(size), timestep).combine(predictions)
            without = guidance(family, Mode.TI, scales(size), timestep)
            assert not any(branch.has_speech for branch in without.branches)
            assert torch.allclose(without.combine(predictions), with_speech, atol=1e-5)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(("name", "family"), [("humo-17B", Family.CHANNELS), ("humo-1.7B", Family.SLOTS)])
def test_forward_passes_are_those_that_plans_count(name: str, family: Family, mode: Mode) -> None:
    """A plan's cost rests on the number of branches that a step really asks for."""
    spec = models()[name]
    made = Scales(text=spec.guidance_text, audio=spec.guidance_audio, image=spec.guidance_image)
    assert {len(guidance(family, mode, made, t).branches) for t in range(1000)} == {spec.forwards[mode]}
