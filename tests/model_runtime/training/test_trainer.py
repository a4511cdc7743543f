"""Steps, averages, checkpoints and stops of the loop itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

from model_runtime.training.average import Average
from model_runtime.training.divergence import Diverged, Watch
from model_runtime.training.examples import Example
from model_runtime.training.optimiser import adamw, rate
from model_runtime.training.stage import Stage
from model_runtime.training.trainee import Trainee
from model_runtime.training.trainer import OnSample, Settings, Trainer
from schemas.errors import Refused
from tests.support.training import Clips


@pytest.fixture
def clips(tiny_clips: dict[str, Clips]) -> Clips:
    return tiny_clips["tiny-random"]


def _trainer(
    clips: Clips, out: Path, *, examples: object = None, on_sample: OnSample | None = None, **given: object
) -> Trainer:
    known = {"stage": Stage.STAGE2, "steps": 4, "save_every": 2, "warmup": 2, "learning_rate": 1e-3}
    settings = Settings(**{**known, **given})  # type: ignore[arg-type]
    chosen = {} if examples is None else {"examples": examples}
    return Trainer(
        clips.trainee(settings.stage),
        clips.batches(settings.stage, steps=settings.steps, seed=settings.seed, **chosen),
        settings,
        out,
        accelerator=Accelerator(cpu=True),
        on_sample=on_sample,
    )


def _metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def _checkpoint(out: Path, step: int) -> dict[str, bytes]:
    folder = out / "checkpoints" / f"step-{step:08d}"
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_a_resumed_run_is_the_run(clips: Clips, tmp_path: Path) -> None:
    """4 steps straight, and 2 steps, a new process's objects and 2 more: the same losses and weights, bit for bit."""
    assert _trainer(clips, tmp_path / "straight").run()
    assert not _trainer(clips, tmp_path / "broken").run(until=2)
    # A killed run may have told of steps that no checkpoint has.
    with (tmp_path / "broken" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "loss": 5.0}\n{"step": 3, "lo')
    second = _trainer(clips, tmp_path / "broken")
    assert second.start(resume=True) == []
    assert second.step == 2
    assert second.run()
    assert _metrics(tmp_path / "broken") == _metrics(tmp_path / "straight")
    assert [row["step"] for row in _metrics(tmp_path / "straight")] == [0, 1, 2, 3]
    assert len({row["loss"] for row in _metrics(tmp_path / "straight")}) == 4
    for step in (2, 4):
        assert _checkpoint(tmp_path / "broken", step) == _checkpoint(tmp_path / "straight", step)
    name = "transformer.safetensors"
    assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


@pytest.mark.parametrize("stage", list(Stage))
def test_steps_change_exactly_what_the_stage_trains(clips: Clips, tmp_path: Path, stage: Stage) -> None:
    """After two steps everything that the stage trains is another, and nothing else is."""
    trainer = _trainer(clips, tmp_path, stage=stage, steps=2, learning_rate=0.01)
    trainee = trainer._trainee
    before = {name: value.detach().clone() for name, value in trainee.named_parameters()}
    trainer.run()
    changed = {name for name, value in trainee.named_parameters() if not torch.equal(value, before[name])}
    assert changed == set(trainee.trained)
    assert any(name.startswith("focus.") for name in changed) == (stage is Stage.STAGE2)
    focus = [row["focus"] for row in _metrics(tmp_path)]
    assert all(value > 0 for value in focus) if stage is Stage.STAGE2 else focus == [0, 0]


def test_the_mask_loss_counts_by_its_weight(clips: Clips) -> None:
    """The total is the flow loss and the weighted mask loss."""
    trainee = clips.trainee(Stage.STAGE2)
    trainee.focus_weight = 0.25
    with torch.no_grad():
        losses = trainee(clips.batches(Stage.STAGE2, steps=4).batch(0))
    assert float(losses.total) == pytest.approx(float(losses.flow) + 0.25 * float(losses.focus))


def test_a_text_encoder_is_trained_where_it_is_asked_for(clips: Clips) -> None:
    """The base reaches the text encoder when told to; later stages never do."""
    trainee = clips.trainee(Stage.BASE, train_text=True)
    trainee(clips.batches(Stage.BASE, steps=4).batch(0)).total.backward()
    assert all(value.grad is not None for value in trainee.text.parameters())
    assert not any(name.startswith("text.") for name in clips.trainee(Stage.STAGE1, train_text=True).trained)


def test_what_is_published_is_the_average(clips: Clips, tmp_path: Path) -> None:
    """The transformer is published whole, under its own names, with averaged weights; the trainee keeps its own."""
    trainer = _trainer(clips, tmp_path, stage=Stage.STAGE1)
    trainer.run()
    found = load_file(tmp_path / "transformer.safetensors")
    assert found.keys() == trainer._trainee.transformer.state_dict().keys()
    name = "blocks.0.self_attn.q.weight"
    assert torch.equal(found[name], trainer.average.tensors[f"transformer.{name}"])
    assert not torch.equal(found[name], trainer._trainee.transformer.state_dict()[name])


class _Spoilt:
    """Examples of which one was written wrongly."""

    def __init__(self, clips: Clips, index: int) -> None:
        self._examples, self._index = clips.examples, index

    def __len__(self) -> int:
        return len(self._examples)

    def people(self, index: int) -> int:
        return self._examples.people(index)

    def shape(self, index: int) -> tuple[int, int, int]:
        return self._examples.shape(index)

    def example(self, index: int) -> Example:
        example = self._examples.example(index)
        if index != self._index:
            return example
        return Example(**{**vars(example), "latents": torch.full_like(example.latents, math.nan)})


def test_no_number_stops_and_keeps_the_last_good_checkpoint(clips: Clips, tmp_path: Path) -> None:
    """A loss that is no number ends the run before any weight is touched, names the way back, and the way works."""
    batches = clips.batches(Stage.STAGE2, steps=4)
    before = {index for step in range(3) for index in batches._order.indices(step)}
    spoilt = next(index for index in batches._order.indices(3) if index not in before)
    trainer = _trainer(clips, tmp_path, examples=_Spoilt(clips, spoilt), save_every=1, keep=1)
    with pytest.raises(Diverged, match="the loss of step 3 is nan, expected a finite number") as caught:
        trainer.run()
    place = tmp_path / "checkpoints" / "step-00000003"
    assert str(place) in caught.value.message
    assert caught.value.fix == "run again with --resume and --learning-rate 0.0005"
    kept = load_file(place / "weights.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in trainer._trainee.trained.items())
    assert not (tmp_path / "transformer.safetensors").exists()
    again = _trainer(clips, tmp_path, learning_rate=5e-4)
    again.start(resume=True)
    assert again.step == 3
    assert again.run()
    assert _metrics(tmp_path)[-1]["rate"] == pytest.approx(5e-4 / 1.4)


def test_weights_that_are_no_numbers_are_not_saved(clips: Clips, tmp_path: Path) -> None:
    """A checkpoint with a weight that is not finite is never written over a good one."""
    trainer = _trainer(clips, tmp_path)
    trainer.run(until=2)
    with torch.no_grad():
        trainer._trainee.focus.heads[0][3].bias.fill_(math.inf)  # type: ignore[union-attr, index]
    with pytest.raises(Diverged):
        trainer.run(until=4)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]


def test_a_loss_that_leaves_its_range_stops() -> None:
    """Five times the best mean of 20 steps is too much; single high steps are not."""
    watch = Watch()
    _tell(watch, [30.0 if step == 25 else 1.0 for step in range(40)])
    with pytest.raises(Diverged, match="times its best"):
        _tell(watch, [6.5] * 20)
    again = Watch()
    again.restore(json.loads(json.dumps(watch.state())))
    with pytest.raises(Diverged):
        again.loss(60, 6.5)
    with pytest.raises(Diverged, match="norm inf"):
        again.gradient(61, math.inf)


def _tell(watch: Watch, losses: list[float]) -> None:
    for step, loss in enumerate(losses):
        watch.loss(step, loss)


def test_a_damaged_checkpoint_is_passed_over(clips: Clips, tmp_path: Path) -> None:
    """One byte changed on disk: the run goes on from the checkpoint before, and says so."""
    _trainer(clips, tmp_path).run(until=3)
    path = tmp_path / "checkpoints" / "step-00000003" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    trainer = _trainer(clips, tmp_path)
    (damaged,) = trainer.start(resume=True)
    assert "step-00000003: weights.safetensors is not what was written" in damaged
    assert trainer.step == 2
    assert trainer.run()


def test_a_used_folder_and_another_run_are_refused(clips: Clips, tmp_path: Path) -> None:
    """Nothing is overwritten by a fresh start, and no run goes on with other settings."""
    _trainer(clips, tmp_path).run(until=1)
    with pytest.raises(Refused, match="holds a run of 1 steps") as caught:
        _trainer(clips, tmp_path).start(resume=False)
    assert "--resume" in caught.value.fix
    with pytest.raises(Refused, match="has seed 0 \\(now 1\\)"):
        _trainer(clips, tmp_path, seed=1).start(resume=True)


def test_a_stop_is_a_checkpoint(clips: Clips, tmp_path: Path) -> None:
    """Asked to stop, the run ends after its step, saved; samples are drawn from the averaged weights."""
    seen: list[int] = []

    def sample(trainee: Trainee, step: int) -> None:
        seen.append(step)
        assert all(torch.equal(value, trainer.average.tensors[name]) for name, value in trainee.trained.items())
        trainer.stop()

    trainer = _trainer(clips, tmp_path, on_sample=sample, sample_every=1, save_every=100)
    assert not trainer.run()
    assert seen == [1]
    again = _trainer(clips, tmp_path)
    again.start(resume=True)
    assert again.step == 1


def test_the_average_follows_quickly_then_slowly() -> None:
    """The first step is taken in almost whole, later ones by the decay; in place it is the weights, and back again."""
    value = nn.Parameter(torch.zeros(1))
    average = Average({"w": value}, decay=0.9)
    value.data.fill_(1)
    average.update({"w": value}, 1)
    assert float(average.tensors["w"]) == pytest.approx(0.95)
    average.tensors["w"].zero_()
    average.update({"w": value}, 10_000)
    assert float(average.tensors["w"]) == pytest.approx(0.1)
    with average.in_place({"w": value}):
        assert float(value.detach()) == pytest.approx(0.1)
    assert float(value.detach()) == 1


def test_the_rate_rises_stays_and_falls() -> None:
    """Warm-up, plateau, a straight decay over the last 35 %, and never zero."""
    rates = [rate(step, steps=100, warmup=10, decay_share=0.35) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:66] == [1.0] * 57
    assert rates[99] == pytest.approx(1 / 35)
    assert rates[66:] == sorted(rates[66:], reverse=True)


def test_only_matrices_decay() -> None:
    """Gains, biases and modulations are left out of the weight decay."""
    layer = nn.Linear(2, 2)
    named = {"a.weight": layer.weight, "a.bias": layer.bias, "a.modulation": nn.Parameter(torch.ones(1, 6, 2))}
    decaying, others = adamw(named, 1e-3).param_groups
    assert decaying["weight_decay"] > 0
    assert [value is layer.weight for value in decaying["params"]] == [True]
    assert others["weight_decay"] == 0
    assert len(others["params"]) == 2
