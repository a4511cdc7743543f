"""`CALLSHEET_HUMO_FIXTURES`: the tests read sizes, seeds and settings from whatever files lie there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.support.humo_set import make_set

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

HERE = Path(__file__).parent
READ_GOLDEN_FILES = ("guidance", "references", "sampler", "speech", "text", "transformer", "vae", "whole_runs")
# Which tests must notice, and no other, when one tensor of a file is a tenth too large.
DAMAGES = {
    ("guidance", "s*.1_7B.TA"): {"guidance::combined_velocities"},
    ("ref_image", "pic2.boxed"): {"references::pictures_are_letterboxed"},
    ("sampler", "toy.steps24.final"): {"sampler::trajectory"},
    ("audio_window", "two.windows"): {"speech::windows_hold"},
    ("whisper_tiny", "hidden_states"): {"speech::hidden_states"},
    ("t5_tiny", "output"): {"text::states_of_real_tokens"},
    ("dit_tiny_17B_io", "second.out.tia"): {"transformer::every_branch", "transformer::bfloat16"},
    ("dit_tiny_1_7B_io", "first.tia.block0.ffn"): {"transformer::every_stage"},
    ("dit_tiny_bf16_emulated", "1_7B.first.out.t"): {"transformer::bfloat16"},
    ("vae_tiny_io", "z3.decoded"): {"vae::decoding_piece_by_piece"},
    ("e2e_tiny_17B_TA_ref0", "final_latents"): {"whole_runs::run_from_the_same_noise"},
}


def damage(path: Path, pattern: str) -> None:
    tensors = load_file(path)
    name = next(key for key in tensors if re.fullmatch(pattern.replace(".", r"\.").replace("*", r"\d+"), key))
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({**tensors, name: 1.1 * tensors[name]}, path, metadata)


def test_other_sizes_and_seeds_are_checked_by_the_same_tests(tmp_path: Path) -> None:
    """A set of other sizes, steps, shifts and scales passes, but for one tensor in each file that was made wrong."""
    folder = tmp_path / "another set"
    make_set(folder, seed=3)
    for file, pattern in DAMAGES:
        damage(folder / f"{file}.safetensors", pattern)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n0", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"),
            *(str(HERE / f"test_{name}.py") for name in READ_GOLDEN_FILES),
        ],
        env=environ | {"CALLSHEET_HUMO_FIXTURES": str(folder)},
        cwd=HERE.parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    failed = re.findall(r"^FAILED \S*/test_(\w+)\.py::test_(\S+)", done.stdout, re.MULTILINE)
    expected = [fault for faults in DAMAGES.values() for fault in faults]
    found = {f"{module}::{test}" for module, test in failed}
    assert not [test for test in found if not test.startswith(tuple(expected))], done.stdout
    assert not [fault for fault in expected if not any(test.startswith(fault) for test in found)], done.stdout
    passed = re.search(r"(\d+) failed, (\d+) passed", done.stdout)
    assert passed, done.stdout + done.stderr
    assert int(passed[2]) > 100
