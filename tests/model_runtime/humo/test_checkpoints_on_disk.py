"""Checkpoints as they are published: read by headers, refused when they do not fit, streamed onto a device."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_runtime.humo.loaded import load_model
from model_runtime.humo.weights import blueprint
from model_runtime.humo.weights.checkpoint import compare, open_checkpoint
from model_runtime.humo.weights.header import read_header
from model_runtime.humo.weights.layout import HUMO, WAN, WHISPER, find_model
from model_runtime.humo.weights.loading import load
from model_runtime.humo.weights.lockfile import read_lock
from model_runtime.humo.weights.streaming import stream
from model_runtime.humo.weights.tiny import write_tiny
from model_runtime.humo.weights.verify import verify_tensors
from schemas.errors import InvalidInput, Refused
from tests.support.tiny_humo import TINY

CPU = torch.device("cpu")
SHARDED = "tiny-random"


def shards(root: Path) -> list[Path]:
    return sorted((root / "HuMo" / "HuMo-17B").glob("*.safetensors"))


def rewrite(path: Path, change: object) -> None:
    """Apply `change` to a shard's tensors and write it again."""
    tensors = load_file(path)
    assert callable(change)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize("name", TINY)
def test_tiny_models_lie_as_the_published_ones(tiny_weights: dict[str, Path], name: str) -> None:
    """Index and shards for the large model, `ema.pth` for the small one; the rest as published."""
    root = tiny_weights[name]
    transformer = ["HuMo/HuMo-17B/humo.safetensors.index.json"] if name == SHARDED else ["HuMo/HuMo-1.7B/ema.pth"]
    expected = {
        *transformer,
        "Wan2.1-T2V-1.3B/Wan2.1_VAE.pth",
        "Wan2.1-T2V-1.3B/models_t5_umt5-xxl-enc-bf16.pth",
        "Wan2.1-T2V-1.3B/google/umt5-xxl/spiece.model",
        "whisper-large-v3/config.json",
        "whisper-large-v3/model.safetensors",
    }
    assert expected <= set(read_lock(root, name).files)
    assert set(read_lock(root, name).repositories) == {HUMO, WAN, WHISPER}
    assert [part.extra for part in verify_tensors(root, find_model(name))] == [()] * 4


def test_a_seed_decides_the_weights(tiny_weights: dict[str, Path], tmp_path: Path) -> None:
    """The same seed gives the same files, another seed others; a folder is never overwritten."""
    model = find_model(SHARDED)
    again, other = write_tiny(tmp_path / "again", model), write_tiny(tmp_path / "other", model, seed=1)
    first = read_lock(tiny_weights[SHARDED], SHARDED)
    assert again.files == first.files
    assert other.digest != first.digest
    with pytest.raises(Refused, match="already"):
        write_tiny(tmp_path / "again", model)


@pytest.mark.parametrize("name", TINY)
def test_loaded_weights_are_those_on_disk(tiny_weights: dict[str, Path], name: str) -> None:
    """Every weight of every part holds the published tensor of its name, in the dtype asked for."""
    root, model = tiny_weights[name], find_model(name)
    loaded = load_model(root, model, device=CPU, dtype=torch.bfloat16)
    layout, config = model.layout, model.config
    for source, own, plan, dtype in (
        (layout.transformer, loaded.transformer, blueprint.transformer(config.transformer), torch.bfloat16),
        (layout.vae, loaded.vae, blueprint.autoencoder(config.vae), torch.float32),
        (layout.text, loaded.text.encoder, blueprint.text_encoder(config.text), torch.bfloat16),
    ):
        state = own.state_dict()
        on_disk = dict(stream(open_checkpoint(root / source.local)))
        assert len(on_disk) == len(plan.names)
        for published, tensor in on_disk.items():
            value = state[plan.names[published]]
            assert value.dtype == dtype
            assert torch.equal(value, tensor.to(dtype)), published
    assert loaded.speech.encoder.conv1.weight.dtype == torch.float32
    assert loaded.text.encoder.encoder.embed_tokens.weight is loaded.text.encoder.shared.weight


def test_loading_says_how_far_it_is(tiny_weights: dict[str, Path]) -> None:
    """Each part counts its tensors up to their number."""
    said: list[tuple[str, int, int]] = []
    load_model(
        tiny_weights[SHARDED],
        find_model(SHARDED),
        device=CPU,
        dtype=torch.float32,
        on_part=lambda *facts: said.append(facts),
    )
    parts = {part for part, _, _ in said}
    assert parts == {"transformer", "vae", "text encoder", "speech encoder"}
    for part in parts:
        counted = [(done, total) for name, done, total in said if name == part]
        assert counted == [(index, len(counted)) for index in range(1, len(counted) + 1)]


def test_a_missing_tensor_is_refused(own_weights: dict[str, Path]) -> None:
    """What the index promises must be in the shard, and what the model needs in the index."""
    root, model = own_weights[SHARDED], find_model(SHARDED)
    index = root / model.layout.transformer.local
    shard = shards(root)[0]
    gone = next(iter(load_file(shard)))
    rewrite(shard, lambda tensors: tensors.pop(gone))
    with pytest.raises(InvalidInput, match=f"shards lack: {gone}"):
        verify_tensors(root, model)
    content = json.loads(index.read_text())
    del content["weight_map"][gone]
    index.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match=f"1 missing: {gone}"):
        load_model(root, model, device=CPU, dtype=torch.float32)


def test_an_extra_tensor_is_reported_and_left_out(own_weights: dict[str, Path]) -> None:
    """Extra tensors are no reason to refuse a checkpoint."""
    root, model = own_weights["tiny-random-1.7B"], find_model("tiny-random-1.7B")
    path = root / "HuMo" / "HuMo-1.7B" / "ema.safetensors"
    rewrite(path, lambda tensors: tensors.__setitem__("left_over", torch.zeros(3)))
    assert verify_tensors(root, model)[0].extra == ("left_over",)
    load_model(root, model, device=CPU, dtype=torch.float32)


def test_another_type_is_refused(own_weights: dict[str, Path]) -> None:
    """Quantised tensors would need code that is not here."""
    root, model = own_weights[SHARDED], find_model(SHARDED)
    name = next(iter(load_file(shards(root)[1])))
    rewrite(shards(root)[1], lambda tensors: tensors.__setitem__(name, tensors[name].to(torch.float8_e4m3fn)))
    with pytest.raises(InvalidInput, match=r"type other than BF16, F16, F32: .*\(F8_E4M3\)"):
        verify_tensors(root, model)


def test_another_shape_is_refused(own_weights: dict[str, Path]) -> None:
    """A tensor must have the model's shape, not only its name."""
    root, model = own_weights[SHARDED], find_model(SHARDED)
    name = next(iter(load_file(shards(root)[1])))
    rewrite(shards(root)[1], lambda tensors: tensors.__setitem__(name, torch.zeros(2, 2)))
    with pytest.raises(InvalidInput, match=r"1 of another shape: .* \[2, 2\], expected"):
        verify_tensors(root, model)


@pytest.mark.parametrize("kept", [4, 100_000, -1])
def test_a_truncated_shard_is_refused_by_its_head(own_weights: dict[str, Path], kept: int) -> None:
    """A shard that lacks its end, or most of itself, is noticed without reading it."""
    root, model = own_weights[SHARDED], find_model(SHARDED)
    shard = shards(root)[0]
    shard.write_bytes(shard.read_bytes()[:kept])
    with pytest.raises(InvalidInput, match=f"{shard.name} is damaged") as caught:
        load_model(root, model, device=CPU, dtype=torch.float32)
    assert "model fetch" in caught.value.fix
    assert "model make-tiny" in caught.value.fix


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(struct.pack("<Q", 2**62) + b"{}", id="huge head"),
        pytest.param(struct.pack("<Q", 4) + b"{{{{", id="no JSON"),
        pytest.param(struct.pack("<Q", 8) + b'{"a": 1}', id="no offsets"),
        pytest.param(struct.pack("<Q", 2) + b"[]", id="a list"),
    ],
)
def test_a_damaged_head_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever stands where the head should be becomes one clear error."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="damaged"):
        read_header(path)


def test_the_wrong_folder_is_refused_with_what_to_do(own_weights: dict[str, Path], tmp_path: Path) -> None:
    """No weights at all, another model's weights, an index that leaves its folder: each is said plainly."""
    with pytest.raises(InvalidInput, match="is missing") as caught:
        verify_tensors(tmp_path / "nothing", find_model(SHARDED))
    assert "model fetch" in caught.value.fix
    small = open_checkpoint(own_weights["tiny-random-1.7B"] / "HuMo" / "HuMo-1.7B" / "ema.pth")
    plan = blueprint.transformer(find_model(SHARDED).config.transformer)
    with pytest.raises(InvalidInput, match="of another shape"):
        load(plan, small, device=CPU, dtype=torch.float32)
    index = own_weights[SHARDED] / find_model(SHARDED).layout.transformer.local
    index.write_text(json.dumps({"weight_map": {"x": "../../secret.safetensors"}}))
    with pytest.raises(InvalidInput, match="outside its own folder"):
        open_checkpoint(index)


def test_a_pickle_that_was_not_converted_says_so(own_weights: dict[str, Path]) -> None:
    """The converted file is what is read; without it the message names the command."""
    root = own_weights["tiny-random-1.7B"]
    (root / "HuMo" / "HuMo-1.7B" / "ema.safetensors").unlink()
    with pytest.raises(InvalidInput, match="not converted yet") as caught:
        verify_tensors(root, find_model("tiny-random-1.7B"))
    assert "model convert" in caught.value.fix


def test_comparison_tells_each_fault_apart(tmp_path: Path) -> None:
    """Missing, extra, misshapen and unloadable tensors are four lists; ignored prefixes are in none."""
    path = tmp_path / "x.safetensors"
    tensors = {"a": torch.zeros(2), "b": torch.zeros(3), "c": torch.zeros(1, dtype=torch.int64), "d.x": torch.zeros(1)}
    save_file({**tensors, "e": torch.zeros(1)}, path)
    wanted = {"a": (2,), "b": (4,), "c": (1,), "f": (1,)}
    found = compare(open_checkpoint(path), wanted, ignored=("d.",))
    assert found.missing == ("f",)
    assert found.extra == ("e",)
    assert found.misshapen == ("b [3], expected [4]",)
    assert found.unloadable == ("c (I64)",)
