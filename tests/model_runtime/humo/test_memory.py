"""What HuMo costs a host in memory: a shard while it is checked or loaded, a few frames while it decodes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_runtime.humo.weights.layout import find_model
from tests.support import humo as golden
from tests.support.hollow_weights import write_hollow_model, write_hollow_shards

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has"),
    pytest.mark.timeout(600),
]

MIB = 2**20
SHARD = 64 * MIB
SHARDS = 4
REAL = {"17B": "humo-17B", "1_7B": "humo-1.7B"}
"""Checkpoint manifest -> model."""
FRAME = 192 * 192 * 3 * 4
"""Bytes of one decoded frame in float32."""


class Probe:
    """A process that does what it is told, says what it cost, and waits."""

    def __init__(self, *steps: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.humo_memory", *steps],
            cwd=Path(__file__).parents[3],
            # Large blocks go back to the system when they are freed: what is in memory is what is in use.
            env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._count = len(steps)
        self.said: dict[str, Any] = {}

    def listen(self) -> None:
        assert self.process.stdout is not None
        while len(self.said) < self._count:
            line = self.process.stdout.readline()
            assert line, f"the probe ended with {self.process.wait()} after {list(self.said)}"
            self.said |= json.loads(line)

    def mapped(self, folder: Path) -> dict[str, int]:
        """Bytes of that folder's files in this process: all, its share of them, and what it has for itself."""
        found = dict.fromkeys(("Rss", "Pss", "Private_Clean", "Private_Dirty"), 0)
        is_ours = False
        for line in Path(f"/proc/{self.process.pid}/smaps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                is_ours = str(folder) in line
            key, _, rest = line.partition(":")
            if is_ours and key in found:
                found[key] += 1024 * int(rest.split()[0])
        return found

    def end(self) -> None:
        with self.process:
            self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shards of 64 MiB."""
    index = tmp_path_factory.mktemp("shards") / "x.safetensors.index.json"
    layers = SHARD * SHARDS // (4 * 4096 * 1024)
    write_hollow_shards(index, {f"{layer}.weight": (1024, 4096) for layer in range(layers)}, "F32", count=SHARDS)
    assert {path.stat().st_size // MIB for path in index.parent.glob("*.safetensors")} == {SHARD // MIB}
    return index


@pytest.fixture(scope="module")
def probes(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Probe, Probe]]:
    """Two processes that have loaded the same checkpoint; the first has done everything else before."""
    folder = tmp_path_factory.mktemp("probe")
    for size, model in REAL.items():
        write_hollow_model(folder / "weights", find_model(model), size)
    both = (
        Probe(
            f"verified={folder / 'weights'}",
            f"encoded={folder / 'clip.mp4'}",
            f"loaded={checkpoint}",
            f"kept={checkpoint}",
        ),
        Probe(f"kept={checkpoint}"),
    )
    try:
        for probe in both:
            probe.listen()
        yield both
    finally:
        for probe in both:
            probe.end()


@pytest.mark.parametrize("size", REAL)
def test_the_real_sizes_are_verified_by_their_heads(probes: tuple[Probe, Probe], size: str) -> None:
    """All of the 17B's 46 GB are compared by name, shape and type in far less memory than one shard has."""
    found = probes[0].said["verified"][REAL[size]]
    assert found["code"] == 0
    parts = {part["part"]: part for part in found["said"]["parts"]}
    assert {name: part["tensors"] for name, part in parts.items()} == {
        "transformer": len(golden.manifest(size)),
        "vae": len(golden.manifest("vae")),
        "text encoder": len(golden.manifest("t5_umt5_xxl")),
        "speech encoder": 487,
    }
    assert [part["extra"] for part in parts.values()] == [[]] * 4
    assert found["grown"] < 512 * MIB


def test_loading_needs_the_model_and_one_shard(probes: tuple[Probe, Probe]) -> None:
    """Reading all four shards into a model of another type costs that model and one shard beside it, not four."""
    found = probes[0].said["loaded"]
    assert found["held"] == SHARD * SHARDS // 2
    assert found["held"] < found["grown"] < found["held"] + 1.5 * SHARD


def test_two_ranks_of_a_host_share_the_weights(probes: tuple[Probe, Probe], checkpoint: Path) -> None:
    """Both have every number in memory; together they hold it once, and neither has a copy of its own."""
    mapped = [probe.mapped(checkpoint.parent) for probe in probes]
    for one in mapped:
        assert one["Rss"] >= SHARD * SHARDS
        assert one["Private_Clean"] + one["Private_Dirty"] < SHARD // 16
    assert sum(one["Pss"] for one in mapped) < 1.1 * SHARD * SHARDS
    for probe in probes:
        assert probe.said["kept"]["anonymous"] < SHARD // 2


def test_frames_stream_from_decoder_to_encoder(probes: tuple[Probe, Probe]) -> None:
    """A clip of 97 frames needs no more memory than one of 25 does."""
    found = probes[0].said["encoded"]
    assert [found[length]["frames"] for length in ("25", "97")] == [25, 97]
    assert found["97"]["peak"] - found["25"]["peak"] < (97 - 25) * FRAME // 3
