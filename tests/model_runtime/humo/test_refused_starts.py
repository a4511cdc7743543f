"""Workers that must not start: the weights are not what they have to be, and the worker says which and how to mend it.

Each is a real worker process; the lock is made to agree with the damage where the damage is to be found behind it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_runtime.humo.weights.layout import find_model
from model_runtime.humo.weights.lockfile import measure, read_lock, write_lock
from schemas.worker_exit import WorkerExit

NAME = "tiny-random"
SMALL = "tiny-random-1.7B"
ROOT = Path(__file__).parents[3]


def shard(root: Path) -> Path:
    return sorted((root / "HuMo" / "HuMo-17B").glob("*.safetensors"))[0]


def lock_as_it_lies(root: Path) -> None:
    lock = read_lock(root, NAME)
    write_lock(root, dataclasses.replace(lock, files={path: measure(root / path) for path in lock.files}))


def truncate(root: Path) -> None:
    shard(root).write_bytes(shard(root).read_bytes()[:-100])


def truncate_and_lock(root: Path) -> None:
    truncate(root)
    lock_as_it_lies(root)


def drop_a_key(root: Path) -> None:
    tensors = load_file(shard(root))
    gone = next(iter(tensors))
    del tensors[gone]
    save_file(tensors, shard(root))
    index = root / find_model(NAME).layout.transformer.local
    content = json.loads(index.read_text())
    del content["weight_map"][gone]
    index.write_text(json.dumps(content))
    lock_as_it_lies(root)


def quantise(root: Path) -> None:
    tensors = load_file(shard(root))
    name = next(iter(tensors))
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    save_file(tensors, shard(root))
    lock_as_it_lies(root)


def forget_the_lock(root: Path) -> None:
    (root / f"{NAME}.lock.json").unlink()


def take_another_models_folder(root: Path) -> None:
    shutil.rmtree(root)
    shutil.copytree(root.parent / SMALL, root)


@pytest.mark.parametrize(
    ("damage", "said", "fix"),
    [
        (forget_the_lock, "no weights of tiny-random were fetched", "make-tiny tiny-random"),
        (take_another_models_folder, "no weights of tiny-random were fetched", "make-tiny tiny-random"),
        (truncate, "bytes, expected", "make-tiny tiny-random"),
        (truncate_and_lock, "00001-of-00003.safetensors is damaged", "model make-tiny"),
        (drop_a_key, "1 missing", "published checkpoint of this model"),
        (quantise, "1 of a type other than BF16, F16, F32", "quantised"),
    ],
)
def test_a_worker_does_not_start(
    own_weights: dict[str, Path], tmp_path: Path, damage: Callable[[Path], None], said: str, fix: str
) -> None:
    """Exit code 78, and one line that names the fault and the way out; nothing was loaded, nothing leased."""
    root = own_weights[NAME]
    damage(root)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("CALLSHEET_")}
    done = subprocess.run(
        [sys.executable, "-m", "model_runtime", "worker", "--engine=humo", f"--model={NAME}"],
        env=environ | {"CALLSHEET_HOME": str(tmp_path / "home"), "CALLSHEET_WEIGHTS": str(root)},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == WorkerExit.BAD_CONFIGURATION, done.stderr[-2000:]
    last = done.stderr.rstrip().splitlines()[-1]
    assert said in last
    assert fix in last.partition("fix:")[2]
