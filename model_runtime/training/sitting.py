"""What a run remembers from one sitting to the next, and on what terms it goes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model_runtime.training.average import Average
from model_runtime.training.checkpoints import Checkpoint, Checkpoints
from model_runtime.training.divergence import Diverged, Watch
from schemas.errors import Refused


class Sitting:
    """Step, average, watch and checkpoints of one run.

    Args:
        out: the run's folder.
        trained: the weights that it trains, by name.
        about: what its numbers depend on; it goes on only where that is the same.
        may_change: names in `about` that may differ when it goes on.
        decay: of the weights' average.
        keep: checkpoints that stay.
    """

    def __init__(
        self,
        out: Path,
        trained: Mapping[str, nn.Parameter],
        *,
        about: Mapping[str, Any],
        may_change: Collection[str],
        decay: float,
        keep: int,
    ) -> None:
        self._out = out
        self._trained = trained
        self._about = about
        self._may_change = may_change
        self._checkpoints = Checkpoints(out / "checkpoints", keep=keep)
        self.average = Average(trained, decay=decay)
        self.watch = Watch()
        self.step = 0
        """Finished steps."""

    @property
    def damaged(self) -> list[str]:
        """Checkpoints that were passed over."""
        return self._checkpoints.damaged

    def begin(self, *, resume: bool) -> Checkpoint | None:
        """Begin, or go on from the latest whole checkpoint, whose optimiser is left to the caller.

        Raises:
            Refused: there are checkpoints and nobody asked to resume, or they are of another run.
        """
        if not resume:
            if self._checkpoints.steps():
                raise Refused(
                    f"{self._out} holds a run of {self._checkpoints.steps()[-1]} steps",
                    fix="add --resume to go on with it, or name another folder with --out",
                )
            return None
        found = self._checkpoints.latest()
        if found is not None:
            self._refuse_another(found.state["about"])
            with torch.no_grad():
                for name, value in self._trained.items():
                    value.copy_(found.weights[name])
                    self.average.tensors[name].copy_(found.average[name])
            self.watch.restore(found.state["watch"])
            self.step = found.step
        return found

    def _refuse_another(self, before: Mapping[str, Any]) -> None:
        now = {name: value for name, value in self._about.items() if name not in self._may_change}
        other = sorted(name for name in now if now[name] != before.get(name))
        if other:
            listed = ", ".join(f"{name} {before.get(name)} (now {now[name]})" for name in other)
            raise Refused(
                f"the run in {self._out} has {listed}", fix="resume with its own settings, or name another folder"
            )

    def require_finite(self) -> None:
        """Raises Diverged: a weight is no number any more; the checkpoint before stays the latest."""
        if not all(bool(value.isfinite().all()) for value in self._trained.values()):
            raise Diverged(f"the weights after {self.step} steps are not finite numbers")

    def save(self, optimiser: Mapping[str, Any]) -> None:
        self._checkpoints.save(
            Checkpoint(
                step=self.step,
                weights=dict(self._trained),
                average=self.average.tensors,
                optimiser=dict(optimiser),
                state={"about": self._about, "watch": self.watch.state()},
            )
        )

    def with_way_back(self, error: Diverged, *, learning_rate: float) -> Diverged:
        """The same error, with where to go on from and how."""
        steps = self._checkpoints.steps()
        if not steps:
            return Diverged(
                f"{error.message}; there is no checkpoint yet", fix="start again with a lower --learning-rate"
            )
        return Diverged(
            f"{error.message}; the last good checkpoint is {self._checkpoints.path(steps[-1])}",
            fix=f"run again with --resume and --learning-rate {learning_rate / 2:g}",
        )
