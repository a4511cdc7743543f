"""Published pickles become safetensors in an isolated process, and nowhere else is anything unpickled."""

from __future__ import annotations

import ast
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import model_runtime
from media.process import ProcessLimits
from model_runtime.humo.weights import convert_child
from model_runtime.humo.weights.convert import convert_files, convert_model
from model_runtime.humo.weights.layout import find_model
from model_runtime.humo.weights.lockfile import check_digests, read_lock
from schemas.errors import InvalidInput


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.mark),))


def test_tensors_survive_bit_for_bit(tmp_path: Path) -> None:
    """Names, types, shapes and bytes are kept; views are written as what they show."""
    base = torch.randn(8, 6)
    state = {
        "b.weight": base.bfloat16(),
        "a.half": base.half(),
        "view": base.T[1:3],
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
    }
    torch.save(state, tmp_path / "x.pth")
    got = load_file(*convert_files([tmp_path / "x.pth"]))
    assert got.keys() == state.keys()
    for name, value in state.items():
        assert got[name].dtype == value.dtype
        assert torch.equal(got[name], value)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    """Something other than tensors in a pickle is an error, nothing of it happens, and its neighbours stay pickles."""
    mark = tmp_path / "run"
    torch.save({"weight": torch.zeros(2)}, tmp_path / "good.pth")
    torch.save({"weight": torch.zeros(2), "trap": Trap(mark)}, tmp_path / "x.pth")
    with pytest.raises(InvalidInput, match=r"x\.pth: UnpicklingError"):
        convert_files([tmp_path / "good.pth", tmp_path / "x.pth"])
    assert {path.name for path in tmp_path.iterdir()} == {"good.pth", "x.pth"}


def test_an_old_pickle_with_code_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The form without a zip around it is held to the same."""
    mark = tmp_path / "run"
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"weight": 1, "trap": Trap(mark)}))
    assert convert_child.main([tmp_path / "x.pth", tmp_path / "out"]) == 1
    assert not mark.exists()
    assert "x.pth: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"state_dict": {"w": torch.zeros(1)}}, "flat"),
        ([torch.zeros(1)], "list"),
        ({}, "flat"),
        ({"w": torch.zeros(1, dtype=torch.int64)}, "int64"),
    ],
)
def test_anything_but_a_flat_set_of_weights_is_refused(
    tmp_path: Path, content: object, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nested, empty and integer checkpoints are not these models'."""
    torch.save(content, tmp_path / "x.pth")
    assert convert_child.main([tmp_path / "x.pth", tmp_path / "out"]) == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_truncated_pickle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A download that stopped half-way is no checkpoint."""
    path = tmp_path / "x.pth"
    torch.save({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    assert convert_child.main([path, tmp_path / "out"]) == 1
    assert "x.pth: " in capsys.readouterr().err


def test_the_converter_is_bounded(tmp_path: Path) -> None:
    """A conversion that would write more than allowed is ended, and leaves nothing."""
    torch.save({"w": torch.zeros(1 << 20)}, tmp_path / "x.pth")
    limits = ProcessLimits(file_bytes=1 << 20, address_bytes=64 * 2**30)
    with pytest.raises(InvalidInput, match="cannot be converted"):
        convert_files([tmp_path / "x.pth"], limits=limits)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_only_the_locked_pickle_is_converted(own_weights: dict[str, Path]) -> None:
    """A `.pth` that is not the one that was fetched is not even opened."""
    name = "tiny-random-1.7B"
    root, model = own_weights[name], find_model(name)
    (root / "HuMo" / "HuMo-1.7B" / "ema.safetensors").unlink()
    pickled = root / "HuMo" / "HuMo-1.7B" / "ema.pth"
    torch.save({"other": torch.zeros(1)}, pickled)
    with pytest.raises(InvalidInput, match="not the file that was locked"):
        convert_model(root, model, read_lock(root, name))
    assert not pickled.with_suffix(".safetensors").exists()


def test_pickles_may_go_once_they_are_converted(own_weights: dict[str, Path]) -> None:
    """The converted files are locked too; the digest that renders are keyed by does not change."""
    name = "tiny-random-1.7B"
    root, lock = own_weights[name], read_lock(own_weights[name], name)
    for pickled in root.rglob("*.pth"):
        pickled.unlink()
    check_digests(root, lock)
    assert convert_model(root, find_model(name), lock).digest == lock.digest


PICKLES = {"pickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
LOADS = {"torch.load", "torch.jit.load", "torch.hub.load", "pandas.read_pickle"}
NUMPY = {"np.load", "numpy.load"}
"""It unpickles where it is not forbidden: each call has to forbid it."""


def unpickles(node: ast.AST) -> bool:
    match node:
        case ast.Import():
            return any(alias.name.partition(".")[0] in PICKLES for alias in node.names)
        case ast.ImportFrom():
            module = node.module or ""
            return module.partition(".")[0] in PICKLES or any(
                f"{module}.{one.name}" in LOADS | NUMPY for one in node.names
            )
        case ast.Call(func=ast.Attribute() as called) if ast.unparse(called) in NUMPY:
            return "allow_pickle=False" not in {ast.unparse(word) for word in node.keywords}
        case ast.Attribute():
            return ast.unparse(node) in LOADS
        case ast.keyword():
            # diffusers' and transformers' own way to prefer a pickle.
            return node.arg == "use_safetensors" and ast.unparse(node.value) == "False"
    return False


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "from torch import load",
        "x = torch.load(y)",
        "x = np.load(y)",
        "x = np.load(y, allow_pickle=True)",
        "f(use_safetensors=False)",
    ],
)
def test_the_search_for_unpickling_finds_it(text: str) -> None:
    """Each way that the next test looks for is one that it sees."""
    assert any(unpickles(node) for node in ast.walk(ast.parse(text)))


def test_nothing_else_unpickles() -> None:
    """`torch.load`, `pickle` and their like appear in the converter's child alone, of all that ships."""
    root = Path(model_runtime.__file__).parents[1]
    packages = ("schemas", "storage", "media", "model_runtime", "k8s", "flows")
    paths = [path for package in packages for path in (root / package).rglob("*.py")]
    assert len(paths) > 100
    found = {path.name for path in paths if any(map(unpickles, ast.walk(ast.parse(path.read_text(encoding="utf-8")))))}
    assert found == {"convert_child.py"}
