"""The diffusion transformer against the reference's golden tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from model_runtime.humo.audio_projector import AudioProjector
from model_runtime.humo.config import TransformerConfig
from model_runtime.humo.guidance import Branch
from model_runtime.humo.rope import axis_angles, rotary, split
from model_runtime.humo.transformer import HumoTransformer
from tests.support import humo as golden


def cases(size: str) -> list[str]:
    return sorted(
        key.removesuffix(".latents") for key in golden.tensors(f"dit_tiny_{size}_io") if key.endswith(".latents")
    )


CASES = [(size, case) for size in golden.SIZES for case in cases(size)]
STAGES = {
    *("x_in", "patch_tokens", "time_e", "time_e0", "context_emb", "audio_tokens"),
    *("block0.self_attn", "block0.text_cross", "block0.audio_cross", "block0.ffn"),
}
BRANCHES = [
    (size, case, branch)
    for size, case in CASES
    for branch in Branch
    if f"{case}.out.{branch}" in golden.tensors(f"dit_tiny_{size}_io")
]


def inputs(size: str, case: str, branch: Branch) -> dict[str, Any]:
    """What the reference was given for one branch of one case."""
    return golden.given(golden.tensors(f"dit_tiny_{size}_io"), case, branch, golden.transformer_config(size).family)


@pytest.mark.parametrize(("size", "case", "branch"), BRANCHES)
@torch.no_grad()
def test_every_branch_predicts_the_references_velocity(size: str, case: str, branch: Branch) -> None:
    """One forward pass equals the reference's, for each family, case and branch."""
    wanted = golden.tensors(f"dit_tiny_{size}_io")[f"{case}.out.{branch}"]
    got = golden.transformer(size)(**inputs(size, case, branch))[0]
    assert got.dtype == torch.float32
    assert golden.error(got, wanted) <= golden.TRANSFORMER


@pytest.mark.parametrize(("size", "case"), CASES)
@torch.no_grad()
def test_every_stage_and_sublayer_gives_the_references_tensor(size: str, case: str) -> None:
    """Embeddings, each sub-layer of the first block and each block's token stream equal the reference's."""
    model, io = golden.transformer(size), golden.tensors(f"dit_tiny_{size}_io")
    seen = golden.stages(model, inputs(size, case, Branch.TIA))
    wanted = {key.removeprefix(f"{case}.tia."): value for key, value in io.items() if key.startswith(f"{case}.tia.")}
    assert set(wanted) >= STAGES | {f"block{index}" for index in range(len(model.blocks))}
    errors = {name: golden.error(seen[name], value) for name, value in wanted.items()}
    assert max(errors.values()) <= golden.TRANSFORMER, errors


@pytest.mark.parametrize(("size", "case", "branch"), BRANCHES)
@torch.no_grad()
def test_bfloat16_stays_near_float32(size: str, case: str, branch: Branch) -> None:
    """With bfloat16 weights the float32 islands keep a forward pass within the limit of both golden outputs."""
    got = golden.transformer(size, torch.bfloat16)(**inputs(size, case, branch))[0]
    assert golden.relative_l2(got, golden.tensors(f"dit_tiny_{size}_io")[f"{case}.out.{branch}"]) <= golden.HALF
    emulated = golden.tensors("dit_tiny_bf16_emulated")[f"{size}.{case}.out.{branch}"]
    assert golden.relative_l2(got, emulated) <= golden.HALF


@pytest.mark.parametrize("size", golden.SIZES)
def test_rotary_angles_are_the_references(size: str) -> None:
    """Cosines and sines per axis equal the rows of the reference's complex table, columns time, row, column."""
    io, config = golden.tensors(f"dit_tiny_{size}_io"), golden.transformer_config(size)
    real, imaginary = io["rope.freqs_real"], io["rope.freqs_imag"]
    positions = torch.arange(real.shape[0])
    angles = torch.cat([axis_angles(part, positions) for part in split(config.head_dim)], dim=1)
    assert golden.error(angles.cos(), real) <= golden.TRANSFORMER
    assert golden.error(angles.sin(), imaginary) <= golden.TRANSFORMER


def test_rotary_table_counts_frames_rows_and_columns() -> None:
    """Token (t, r, c) turns by t, r and c in its three parts, frames outermost."""
    table = rotary(128, frames=3, rows=4, columns=5)
    time, row, column = split(128)
    assert (time, row, column) == (44, 42, 42)
    token = 2 * 20 + 3 * 5 + 1
    wanted = torch.cat([axis_angles(size, torch.tensor([at]))[0] for size, at in ((time, 2), (row, 3), (column, 1))])
    assert torch.allclose(table.cos[token], wanted.cos())
    assert torch.allclose(table.sin[token], wanted.sin())
    part = table.narrow(token, 1)
    assert torch.equal(part.cos[0], table.cos[token])


@torch.no_grad()
def test_two_branches_in_one_batch_equal_separate_runs() -> None:
    """Samples of one shape may share a forward pass."""
    size, case = CASES[0]
    model = golden.transformer(size)
    first, second = inputs(size, case, Branch.TIA), inputs(size, case, Branch.TI)
    both = model(**{name: torch.cat((first[name], second[name])) for name in first})
    assert golden.error(both[0], model(**first)[0]) <= golden.TRANSFORMER
    assert golden.error(both[1], model(**second)[0]) <= golden.TRANSFORMER


def test_text_beyond_the_models_length_is_refused() -> None:
    """More text tokens than the transformer has room for are an error, not a silent cut."""
    model = golden.transformer(golden.SIZES[0])
    with pytest.raises(ValueError, match="text tokens"):
        model.embed_text(torch.zeros(1, model.shape.text_len + 1, model.shape.text_dim))


def test_a_saved_model_comes_back_with_its_widths(tmp_path: Path) -> None:
    """diffusers can save the transformer and restore it from its own config file."""
    model = golden.transformer(golden.SIZES[1])
    model.save_pretrained(tmp_path)
    again = HumoTransformer.from_pretrained(tmp_path, low_cpu_mem_usage=False)
    assert again.shape == model.shape
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())


@torch.no_grad()
def test_projector_turns_windows_into_tokens() -> None:
    """The audio projector alone, in other widths than the transformers', equals the reference."""
    io = golden.tensors("audio_window")
    own = {key.removeprefix("proj.w."): value for key, value in io.items() if key.startswith("proj.w.")}
    window, bands, channels = io["proj.in"].shape[2:]
    hidden = own["audio_proj_glob_1.layer.weight"].shape[0]
    tokens, width = io["proj.out"].shape[2:]
    projector = AudioProjector(
        TransformerConfig(
            model_type="i2v",
            in_dim=1,
            dim=1,
            ffn_dim=1,
            num_heads=1,
            num_layers=0,
            audio_window=window,
            audio_bands=bands,
            audio_channels=channels,
            audio_hidden=hidden,
            audio_tokens=tokens,
            audio_dim=width,
        )
    )
    projector.load_state_dict(own)
    assert golden.error(projector(io["proj.in"]), io["proj.out"]) <= golden.AUDIO
