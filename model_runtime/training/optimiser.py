"""How weights follow their gradients: AdamW, or Muon beside it; a warm-up, and a straight decay at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

Optimise = Callable[[Mapping[str, nn.Parameter], float], torch.optim.Optimizer]
"""(parameters, learning rate) -> an optimiser: the seam for others. Each of its groups holds its full rate as
`full_lr`, and what it is of the learning rate as `share`."""

_BETAS = (0.9, 0.99)
_DECAY = 0.02
_ADAMW_SHARE = 0.5
"""AdamW's rate beside Muon's."""


def adamw(parameters: Mapping[str, nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """AdamW; matrices and kernels decay, gains, biases and modulations do not."""
    return torch.optim.AdamW(_groups(parameters, learning_rate, 1.0), lr=learning_rate, betas=_BETAS)


def muon(parameters: Mapping[str, nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """Muon on the matrices between the layers, AdamW at half the rate on all else."""
    matrices = {name: value for name, value in parameters.items() if is_matrix(name, value)}
    others = {name: value for name, value in parameters.items() if name not in matrices}
    parts: list[torch.optim.Optimizer] = []
    if matrices:
        group = {"params": list(matrices.values()), "full_lr": learning_rate, "share": 1.0}
        parts.append(
            # As large as AdamW's steps are, so that one rate and one decay fit both (Moonlight, arXiv 2502.16982).
            torch.optim.Muon([group], lr=learning_rate, weight_decay=_DECAY, adjust_lr_fn="match_rms_adamw")
        )
    if others:
        groups = _groups(others, learning_rate, _ADAMW_SHARE)
        parts.append(torch.optim.AdamW(groups, lr=_ADAMW_SHARE * learning_rate, betas=_BETAS))
    return parts[0] if len(parts) == 1 else Together(parts)


OPTIMISERS: Mapping[str, Optimise] = {"adamw": adamw, "muon": muon}


def is_matrix(name: str, value: nn.Parameter) -> bool:
    """Does it map hidden states to hidden states? Embeddings, tables of positions and the last layer do not."""
    is_inside = ".block." in name or ".blocks." in name or ".audio_proj." in name
    return value.ndim == 2 and is_inside and "relative_attention_bias" not in name


def _groups(parameters: Mapping[str, nn.Parameter], learning_rate: float, share: float) -> list[dict[str, Any]]:
    decaying = [value for name, value in parameters.items() if value.ndim > 1 and not name.endswith("modulation")]
    others = [value for name, value in parameters.items() if value.ndim <= 1 or name.endswith("modulation")]
    groups: Iterable[dict[str, Any]] = (
        {"params": decaying, "weight_decay": _DECAY},
        {"params": others, "weight_decay": 0.0},
    )
    return [{**group, "full_lr": share * learning_rate, "share": share} for group in groups if group["params"]]


class Together(torch.optim.Optimizer):
    """Several optimisers as one: each keeps its own parameters, groups and state."""

    def __init__(self, parts: Iterable[torch.optim.Optimizer]) -> None:
        self.parts = list(parts)
        super().__init__([dict(group) for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        # One list of the parts' own groups: a rate that is set here is theirs.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # a step is one backward pass
        """One step of each; there is no closure to call again."""
        del closure
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """One document; parameters are numbered through."""
        state: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        start = 0
        for part in self.parts:
            own = part.state_dict()
            state |= {start + number: values for number, values in own["state"].items()}
            groups += [
                {**group, "params": [start + number for number in group["params"]]} for group in own["param_groups"]
            ]
            start += sum(len(group["params"]) for group in own["param_groups"])
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        start, first = 0, 0
        for part in self.parts:
            last = first + len(part.param_groups)
            groups = state_dict["param_groups"][first:last]
            count = sum(len(group["params"]) for group in groups)
            part.load_state_dict(
                {
                    "state": {
                        number - start: values
                        for number, values in state_dict["state"].items()
                        if start <= number < start + count
                    },
                    "param_groups": [
                        {**group, "params": [number - start for number in group["params"]]} for group in groups
                    ],
                }
            )
            start, first = start + count, last
        self._share()


def rate(step: int, *, steps: int, warmup: int, decay_share: float) -> float:
    """What step `step` has of the full rate: it rises over `warmup` steps and falls over the last `decay_share`.

    The last step has a little left: one part of the decay's length.
    """
    rising = min(1.0, (step + 1) / max(1, warmup))
    falling = min(1.0, (steps - step) / max(1.0, decay_share * steps))
    return rising * falling
