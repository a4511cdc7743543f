"""Small orders for training sets, and the steps of one run in this process."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from model_runtime.dataset.seams import Team
from model_runtime.dataset.steps import Steps
from model_runtime.dataset.workshop import Workshop
from schemas.dataset import DatasetOrder, Step, read_order

EXACT = dict.fromkeys(("captioner", "detector", "embedder", "scorer", "enhancer"), "world")


def world_order(*, clips: int, per_shard: int = 4, frames: int = 17, **source: Any) -> DatasetOrder:
    """Clips of the procedural world, 64x64."""
    return read_order(
        {
            "name": "small",
            "source": {"kind": "world", "clips": clips, "variants": 2, **source},
            "frames": frames,
            "width": 64,
            "height": 64,
            "per_shard": per_shard,
            "adapters": EXACT,
        }
    )


def workshop_of(order: DatasetOrder, root: Path, team: Team | None = None) -> Workshop:
    scratch = root / ".scratch" / "test"
    scratch.mkdir(parents=True, exist_ok=True)
    shop = Workshop(order=order, root=root, scratch=scratch)
    if team is not None:
        shop.team = team
    return shop


def run_steps(shop: Workshop, upto: Step = Step.SPEECH) -> dict[Step, dict[str, Any]]:
    """What a flow does, without processes: make what is missing of each step; the manifests."""
    steps, manifests = Steps(shop), {}
    for step in list(Step)[: list(Step).index(upto) + 1]:
        found = steps.plan(step)
        for name, state in found:
            if state != "here":
                steps.make(step, name)
        manifests[step] = steps.finish(step, [name for name, _ in found])
    return manifests


def by_convention(shard: Path) -> list[tuple[str, dict[str, bytes]]]:
    """A tar as loaders of WebDataset group it: neighbours whose names agree up to the first dot are one sample."""
    samples: list[tuple[str, dict[str, bytes]]] = []
    with tarfile.open(shard) as tar:
        for member in tar:
            assert member.isfile()
            key, _, ending = member.name.partition(".")
            if not samples or samples[-1][0] != key:
                samples.append((key, {}))
            content = tar.extractfile(member)
            assert content is not None
            assert ending not in samples[-1][1]
            samples[-1][1][ending] = content.read()
    return samples
