"""The small model: its words, its ear, its plan, and a whole training of a few steps that is stopped and goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from model_runtime.humo.config import HUMO_SMALL
from model_runtime.humo.loaded import load_model
from model_runtime.humo.text import clean, load_tokenizer
from model_runtime.humo.vae import build_vae
from model_runtime.humo.weights.layout import find_model
from model_runtime.humo.weights.lockfile import check_digests, read_lock
from model_runtime.humo.whisper import SpeechEncoder, log_mel
from model_runtime.training.__main__ import main
from model_runtime.training.autoencoder.publishing import VAE, publish
from model_runtime.training.autoencoder.start import begin
from model_runtime.training.cache import drawn as drawn_module
from model_runtime.training.cache import encoded as encoded_module
from model_runtime.training.cache import shards as shards_module
from model_runtime.training.mixing import TaskMix
from model_runtime.training.publishing import TEXT_ENCODER, TRANSFORMER
from model_runtime.training.small import pieces, plan
from model_runtime.training.small.beginning import write_beginning
from model_runtime.training.small.course import Course
from model_runtime.training.small.ear import build_ear, write_ear
from model_runtime.training.small.packaging import FACTS, LARGEST, package
from model_runtime.training.small.plan import Plan
from model_runtime.training.small.words import write_tokenizer
from model_runtime.training.variant import Variant
from model_runtime.training.world.world import World
from schemas.errors import InvalidInput, Refused
from schemas.model_spec import WAN_NEGATIVE_PROMPT
from schemas.model_spec import find_model as find_spec

_TINY = World(width=32, height=32, frames=5, supersample=1)


def test_every_word_of_the_world_is_known(tmp_path: Path) -> None:
    """Captions and the negative prompt are read without an unknown piece and fit; other words are spelled."""
    pieces_known = write_tokenizer(tmp_path)
    assert pieces_known <= HUMO_SMALL.text.vocab
    tokenizer = load_tokenizer(tmp_path)
    captions = [World(seed=5).recipe(index).caption for index in range(200)]
    lengths = []
    for text in [*captions, WAN_NEGATIVE_PROMPT]:
        ids = tokenizer(clean(text))["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert ids[-1] == tokenizer.eos_token_id
        lengths.append(len(ids))
    assert max(lengths) <= HUMO_SMALL.transformer.text_len
    words = tokenizer.convert_ids_to_tokens(tokenizer("A zebra, HOODIES")["input_ids"])
    assert words == ["▁a", "▁", "z", "e", "b", "r", "a", ",", "▁hoodie", "s", "</s>"]


def test_the_ear_hands_the_bands_on(tmp_path: Path) -> None:
    """First band: the mel of its own 20 ms. Second: the same without its level; a louder voice changes nothing."""
    from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor

    write_ear(tmp_path / "model.safetensors", 16)
    front = WhisperFeatureExtractor.from_pretrained(str(tmp_path))
    ear = SpeechEncoder(encoder=build_ear(16), front_end=front)
    sound = np.random.default_rng(0).normal(0, 0.1, 6400).astype(np.float32)
    states = ear(sound)
    mel = log_mel(front, sound)[0].T
    assert states.shape == (20, 2, 16)
    torch.testing.assert_close(states[:, 0], (mel[0:40:2] + mel[1:40:2]) / 2, atol=0.01, rtol=0)
    torch.testing.assert_close(states[1:19, 1], ear(4 * sound)[1:19, 1], atol=0.01, rtol=0)
    assert float((states[1:19, 0] - ear(4 * sound)[1:19, 0]).abs().min()) > 0.2


def test_a_plan_is_cut_to_its_minutes() -> None:
    """A sixtieth of the time is a sixtieth of the steps and clips; no time is refused."""
    whole, short = Plan.within(plan.MINUTES), Plan.within(plan.MINUTES / 60)
    assert short.steps == {name: round(steps / 60) for name, steps in whole.steps.items()}
    assert len(whole.rows) == 4
    assert sum(count for _, count in whole.rows) * shards_module.SHARD == pytest.approx(whole.clips, rel=0.02)
    assert [world for world, _ in Plan.within(1).rows] == [World()]
    assert replace(whole, kinds=("tall",)).rows == ((World(height=96), 125),)
    with pytest.raises(InvalidInput, match="0 minutes"):
        Plan.within(0)


@contextmanager
def _stop_at_once(run: pieces.Run) -> Iterator[None]:
    run.stop()
    yield


def _never(_run: pieces.Run) -> AbstractContextManager[None]:
    return nullcontext()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pieces.Work:
    """Two steps of each stage on four clips, with an autoencoder that knows nothing."""
    for module in (drawn_module, encoded_module, shards_module, plan):
        monkeypatch.setattr(module, "SHARD", 4)
    monkeypatch.setattr(plan, "ROWS", {"square": (_TINY, 1.0)})
    vae = build_vae(HUMO_SMALL.vae)
    begin(vae, seed=0)
    publish(tmp_path, vae, HUMO_SMALL.vae)
    return pieces.Work(
        plan=Plan(steps=dict.fromkeys(("autoencoder", *Course), 2), clips=4, footage=1, batch=2),
        out=tmp_path / "out",
        weights=tmp_path / "weights",
        cache=tmp_path / "cache",
        vae=tmp_path / VAE,
        processes=1,
        save_every=1,
        precision="no",  # accelerate knows one per process
    )


def test_a_whole_training_goes_on_and_ends_in_weights(work: pieces.Work) -> None:
    """Stopped in its first stage, gone on, and what comes out is loaded by the engine's own loader."""
    model = find_model("humo-small")
    assert not pieces.train(work, _stop_at_once)
    with pytest.raises(InvalidInput, match="no finished stage"):
        package(work.beginning, work.out, work.weights, facts={})
    assert pieces.train(work, _never)
    check_digests(work.weights, read_lock(work.weights, model.name))
    loaded = load_model(work.weights, model, device=torch.device("cpu"), dtype=torch.float32)
    assert sum(path.stat().st_size for path in work.weights.rglob("*") if path.is_file()) < LARGEST
    about = json.loads((work.weights / "humo-small" / FACTS).read_text())
    assert about["reached"] == {"course": "finetune", "step": 2, "is_finished": True}
    assert [about["pieces"][name]["steps"] for name in Course] == [2, 2, 2, 2]
    assert loaded.transformer.shape.audio_channels == loaded.speech.encoder.config.d_model
    # Finished pieces are passed over, and another plan does not mix with this one.
    assert pieces.train(work, _stop_at_once)
    other = pieces.Work(**{**vars(work), "plan": Plan(steps=work.plan.steps, clips=4, footage=1, seed=1)})
    with pytest.raises(Refused, match="seed 0"):
        pieces.train(other, _never)
    # A variant starts from that stage 1, trains stage 2 its own way, and leaves the first training alone.
    full = replace(work, like=work.out, out=work.out.with_name("full"), weights=work.out / "full", variant=Variant.FULL)
    assert pieces.train(full, _never)
    assert not (full.out / Course.BASE).exists()
    begun, paper, fully = (
        load_file(folder / TRANSFORMER)
        for folder in (work.out / Course.STAGE1, work.out / Course.STAGE2, full.out / Course.STAGE2)
    )
    changed = {
        name.split(".")[2] for name in begun if name[:7] == "blocks." and not torch.equal(begun[name], paper[name])
    }
    assert changed == {"self_attn", "audio_cross_attn_wrapper"}
    changed = {
        name.split(".")[2] for name in begun if name[:7] == "blocks." and not torch.equal(begun[name], fully[name])
    }
    assert changed > {"self_attn", "audio_cross_attn_wrapper", "ffn"}


def test_a_variant_needs_a_stage_1(work: pieces.Work) -> None:
    """Said before anything is written."""
    with pytest.raises(InvalidInput, match="no finished stage 1"):
        pieces.train(replace(work, like=work.out / "nowhere"), _never)


def test_variants_differ_in_one_part_each() -> None:
    """The mix, the mask loss, or what is trained; never two of them."""
    told = {variant: (variant.mixing, variant.focus_weight, variant.is_full) for variant in Variant}
    paper = told.pop(Variant.PAPER)
    assert [sum(a != b for a, b in zip(paper, other, strict=True)) for other in told.values()] == [1, 1, 1]
    assert Variant.UNMIXED.mixing.tasks == TaskMix(start=50, end=50)


def test_the_last_course_hears_more_than_the_paper_has_it() -> None:
    """Its samples are stage 2's with a mix of their own; a variant has no say in it, but in all others."""
    mixing = Course.FINETUNE.mixing
    assert mixing is not None
    assert mixing.tasks == TaskMix(start=70, end=70)
    assert {course.mixing for course in Course if course is not Course.FINETUNE} == {None}


def test_a_decoder_may_be_better_but_latents_stay(work: pieces.Work) -> None:
    """An autoencoder is exchanged at the end where it encodes bit for bit as the one that was trained on."""
    assert work.vae is not None
    model, first = find_model("humo-small"), load_file(work.vae)
    write_beginning(work.beginning, model, vae=first)
    for name, kind in ((TRANSFORMER, model.layout.transformer), (TEXT_ENCODER, model.layout.text)):
        (work.out / Course.BASE).mkdir(parents=True, exist_ok=True)
        shutil.copy(work.beginning / kind.local, work.out / Course.BASE / name)
    better = {name: value + 1 if name.startswith("decoder.") else value for name, value in first.items()}
    save_file(better, work.vae)
    package(work.beginning, work.out, work.weights, facts={}, vae=work.vae)
    shipped = load_file(work.weights / model.layout.vae.local)
    assert all(torch.equal(shipped[name], value) for name, value in better.items())
    save_file({name: value + 1 for name, value in first.items()}, work.vae)
    with pytest.raises(InvalidInput, match="has other latents"):
        package(work.beginning, work.out, work.weights, facts={}, vae=work.vae)


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every option reaches the training; nothing to package is an error with what to do."""
    assert main(["small", "--out", str(tmp_path), "--minutes", "1", "--package"]) == 2
    assert "holds no finished stage" in capsys.readouterr().err


def test_the_spec_is_of_the_same_widths() -> None:
    """The cost formula and the model count with one geometry."""
    shape, transformer = find_spec("humo-small").transformer, HUMO_SMALL.transformer
    assert shape is not None
    assert (shape.layers, shape.dim, shape.ffn_dim) == (transformer.num_layers, transformer.dim, transformer.ffn_dim)
    assert (shape.audio_dim, shape.audio_tokens, shape.text_len) == (
        transformer.audio_dim,
        transformer.audio_tokens,
        transformer.text_len,
    )
