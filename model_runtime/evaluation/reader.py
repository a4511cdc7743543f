"""The reader: a small convolutional network that recovers the world's attributes from frames."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model_runtime.evaluation.attributes import SEEN_AT_ONCE, SEEN_IN_TIME
from model_runtime.evaluation.crops import SIDE, views
from schemas.errors import InvalidInput

WINDOW = 17
"""Frames that head motion and camera are read from."""
POSES = ("roll", "turn x", "turn y", "face x", "face y", "zoom", "view x")
"""What is measured in each frame and read over time; each scaled to about -1 to 1."""
SHIPPED = Path(__file__).with_name("reader.safetensors")

_WIDTHS = (24, 48, 96, 112)
_FEATURES = 192
_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read of one person's view of a clip of T frames; probabilities sum to one."""

    attributes: dict[str, Tensor]
    """By name, float32 [values]: geometric mean of the frames' (or windows') probabilities."""
    opening: Tensor
    """float32 [T], of the mouth."""
    width: Tensor
    """float32 [T], of the lips."""


class Frames(nn.Module):
    """One frame at a time: [B, 3, 64, 64] in -1 to 1 -> logits by name, mouth [B, 2], pose [B, 7]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *_WIDTHS), _WIDTHS, strict=False):
            layers += [*_block(before, after, stride=2), *_block(after, after, stride=1)]
        cells = (SIDE // 2 ** len(_WIDTHS)) ** 2
        layers += [nn.Flatten(), nn.Linear(_WIDTHS[-1] * cells, _FEATURES, bias=False)]
        self.body = nn.Sequential(*layers, nn.BatchNorm1d(_FEATURES), nn.ReLU(), nn.Dropout(0.15))
        self.attributes = nn.ModuleDict({name: nn.Linear(_FEATURES, len(kind)) for name, kind in SEEN_AT_ONCE.items()})
        self.mouth = nn.Linear(_FEATURES, 2)
        self.pose = nn.Linear(_FEATURES, len(POSES))

    def forward(self, frames: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        features = self.body(frames)
        logits = {name: head(features) for name, head in self.attributes.items()}
        return logits, self.mouth(features), self.pose(features)


def _block(before: int, after: int, *, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]


class Time(nn.Module):
    """Poses over time: [B, 17, 7] -> logits of what is seen in time, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(len(POSES), 48, 5, padding=2), nn.ReLU(), nn.Conv1d(48, 48, 5, padding=2), nn.ReLU(), nn.Flatten()
        )
        self.attributes = nn.ModuleDict(
            {name: nn.Linear(48 * WINDOW, len(kind)) for name, kind in SEEN_IN_TIME.items()}
        )

    def forward(self, poses: Tensor) -> dict[str, Tensor]:
        # A view's place in the picture says nothing of what moves: only the way from the clip's mean counts.
        features = self.body((poses - poses.mean(1, keepdim=True)).transpose(1, 2))
        return {name: head(features) for name, head in self.attributes.items()}


class Reader(nn.Module):
    """Both parts, and how a clip is read with them."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = Frames()
        self.time = Time()

    @torch.no_grad()
    def read(self, frames: Tensor, *, people: int) -> list[Reading]:
        """uint8 [T, H, W, 3] -> one reading per person from left to right."""
        return [self._read(view) for view in views(frames, people=people)]

    def _read(self, view: Tensor) -> Reading:
        parts = [self.frames(as_input(part)) for part in view.split(_BATCH)]
        logs = {
            name: torch.cat([logits[name].float() for logits, _, _ in parts]).log_softmax(-1) for name in SEEN_AT_ONCE
        }
        mouth, poses = (torch.cat([part[index].float() for part in parts]) for index in (1, 2))
        logs |= self._in_time(poses)
        attributes = {name: log.mean(0).softmax(-1) for name, log in logs.items()}
        return Reading(attributes=attributes, opening=mouth[:, 0], width=mouth[:, 1])

    def _in_time(self, poses: Tensor) -> dict[str, Tensor]:
        """Log probabilities [windows, values]: of every piece for the head, of the whole clip for the camera."""
        pieces = self.time(windows(poses))
        whole = self.time(whole_way(poses)[None])
        return {name: (whole if name == "camera" else pieces)[name].log_softmax(-1) for name in SEEN_IN_TIME}


def as_input(view: Tensor) -> Tensor:
    """uint8 [B, 3, 64, 64] -> float32 in -1 to 1, laid out as convolutions like it."""
    return (view.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def windows(poses: Tensor) -> Tensor:
    """[T, 7] -> [n, 17, 7]: pieces that begin every 8 frames; a shorter clip holds its last pose."""
    short = WINDOW - len(poses)
    if short > 0:
        poses = torch.cat((poses, poses[-1:].expand(short, -1)))
    starts = [*range(0, len(poses) - WINDOW, WINDOW // 2), len(poses) - WINDOW]
    return torch.stack([poses[start : start + WINDOW] for start in starts])


def whole_way(poses: Tensor) -> Tensor:
    """[T, 7] -> [17, 7], evenly from the first frame to the last: a camera move takes the whole clip."""
    return poses[torch.linspace(0, len(poses) - 1, WINDOW).round().long()]


def save(reader: Reader, path: Path) -> None:
    """As bfloat16; what counts batches is left out."""
    state = {
        name: value.bfloat16().contiguous()
        for name, value in reader.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(state, path, metadata={"attributes": json.dumps(_lists())})


def load(path: Path = SHIPPED) -> Reader:
    """A reader ready to read, in float32.

    Raises:
        InvalidInput: there is none, or it is of another vocabulary or form.
    """
    if not path.is_file():
        raise InvalidInput(
            f"there is no reader at {path}",
            fix="train one: python -m model_runtime.evaluation train-reader --out PATH",
        )
    reader = Reader()
    try:
        missing, extra = reader.load_state_dict({name: x.float() for name, x in load_file(path).items()}, strict=False)
    except RuntimeError as error:
        raise InvalidInput(f"{path} is no reader of this form: {error}", fix="train it again") from error
    lacking = [name for name in missing if not name.endswith("num_batches_tracked")]
    if lacking or extra:
        raise InvalidInput(f"{path} is no reader of this form: {(lacking + extra)[:3]}", fix="train it again")
    return reader.eval()


def _lists() -> dict[str, list[str]]:
    return {name: [str(value) for value in kind] for name, kind in (SEEN_AT_ONCE | SEEN_IN_TIME).items()}
