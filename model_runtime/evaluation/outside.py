"""The field's own scores, each behind one seam: used where its weights are, and said to be missing where they are not.

A score of another kind is a class with these three members, registered under the entry-point group `callsheet.scorers`
as a callable that takes the weights folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model_runtime.dataset.syncnet import FEWEST_FRAMES, FILE, FOLDER, SyncNet
from model_runtime.evaluation.vbench import VBenchScore

if TYPE_CHECKING:
    from torch import Tensor

GROUP = "callsheet.scorers"

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A clip as a score of the field sees it."""

    frames: Pixels
    """[T, H, W, 3], 25 per second."""
    prompt: str
    audio: NDArray[np.float32]
    """16 kHz."""
    references: tuple[Pixels, ...]
    """One [h, w, 3] per person."""
    faces: tuple[tuple[Box, ...], ...]
    """By person: where the face should be in each frame; empty without boxes."""


class Scorer(Protocol):
    name: str

    @property
    def missing(self) -> str:
        """What has to be there and is not, in a sentence; empty when it can score."""
        ...

    def score(self, shown: Shown) -> dict[str, float]:
        """Values by metric. Called only where nothing is missing."""
        ...


class ClipScore:
    """Text adherence as the field measures it: cosine of CLIP's embeddings of frames and prompt (Radford et al. 2021).

    Any CLIP in transformers' form, in the folder `clip` of the weights.
    """

    name = "CLIP"

    def __init__(self, weights: Path) -> None:
        self._folder = weights / "clip"

    @property
    def missing(self) -> str:
        if (self._folder / "config.json").is_file():
            return ""
        return f"put a CLIP model as transformers saves it into {self._folder.name}/ of the weights folder"

    @cached_property
    def _model(self) -> Any:
        from transformers import CLIPModel

        return CLIPModel.from_pretrained(self._folder, local_files_only=True).eval()

    @cached_property
    def _processor(self) -> Any:
        from transformers import CLIPProcessor

        return CLIPProcessor.from_pretrained(self._folder, local_files_only=True)

    def score(self, shown: Shown) -> dict[str, float]:
        import torch

        longest = self._model.config.text_config.max_position_embeddings
        # Apart from each other: together they lose the text's limit.
        words = self._processor.tokenizer([shown.prompt], truncation=True, max_length=longest, return_tensors="pt")
        pictures = self._processor.image_processor(list(shown.frames), return_tensors="pt")
        with torch.no_grad():
            found = self._model(**words, **pictures)
        cosines = found.image_embeds @ found.text_embeds[0]
        return {"outside/CLIP similarity of prompt": float(cosines.mean())}


class FaceScore:
    """Identity as the field measures it: cosine of face embeddings of frames and reference.

    The network (ArcFace, Deng et al. 2019; CurricularFace, Huang et al. 2020) is an exported program (torch.export) in
    `faces.pt2` of the weights folder: float32 [1, 3, 112, 112] in -1 to 1 -> [1, n]. Faces are cut where they should
    be and nothing is aligned: compare its figures with those of true frames, not with papers.
    """

    name = "ArcFace / CurricularFace"

    def __init__(self, weights: Path) -> None:
        self._path = weights / "faces.pt2"

    @property
    def missing(self) -> str:
        return "" if self._path.is_file() else f"put an exported face embedder at {self._path.name} of the weights"

    @cached_property
    def _network(self) -> Callable[[Tensor], Tensor]:
        import torch

        network: Callable[[Tensor], Tensor] = torch.export.load(self._path).module()
        return network

    def score(self, shown: Shown) -> dict[str, float]:
        cosines = [
            float((self._embedded(_cut(shown.frames, boxes)) @ self._embedded([reference])[0]).mean())
            for reference, boxes in zip(shown.references, shown.faces, strict=False)
            if boxes
        ]
        return {"outside/face similarity to reference": float(np.mean(cosines))} if cosines else {}

    def _embedded(self, pictures: Sequence[Pixels]) -> Tensor:
        """[n, features], each of length one."""
        import torch
        from PIL import Image

        small = np.stack([np.asarray(Image.fromarray(picture).resize((112, 112))) for picture in pictures])
        with torch.no_grad():
            inputs = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1
            found = torch.cat([self._network(one[None]) for one in inputs])
        return torch.nn.functional.normalize(found, dim=-1)


class SyncNetScore:
    """Synchrony as the field measures it: SyncNet's confidence and offset (Chung and Zisserman 2016).

    The published weights, where a dataset's stage 2 looks for them too. It was trained on photographed faces.
    """

    name = "SyncNet"

    def __init__(self, weights: Path) -> None:
        self._path = weights / "dataset" / FOLDER / FILE

    @property
    def missing(self) -> str:
        return "" if self._path.is_file() else f"put the published {FILE} into dataset/{FOLDER}/ of the weights folder"

    @cached_property
    def _syncnet(self) -> SyncNet:
        return SyncNet(self._path, device="cpu")

    def score(self, shown: Shown) -> dict[str, float]:
        people = [boxes for boxes in shown.faces if len(boxes) >= FEWEST_FRAMES]
        if not people or not shown.audio.size:
            return {}
        found = [self._syncnet.score(shown.frames, np.asarray(boxes, np.float32), shown.audio) for boxes in people]
        best = max(found, key=lambda score: score.confidence)
        return {"outside/SyncNet confidence": best.confidence, "outside/SyncNet offset": float(best.offset)}


def _cut(frames: Pixels, boxes: Sequence[Box]) -> list[Pixels]:
    return [frame[top:bottom, left:right] for frame, (left, top, right, bottom) in zip(frames, boxes, strict=True)]


def scorers(weights: Path) -> list[Scorer]:
    """Every score that is known here; a plug-in of the same name takes its place."""
    known: list[Scorer] = [
        ClipScore(weights),
        FaceScore(weights),
        SyncNetScore(weights),
        VBenchScore(weights),
    ]
    added: list[Scorer] = [point.load()(weights) for point in entry_points(group=GROUP)]
    names = {scorer.name for scorer in added}
    return [scorer for scorer in known if scorer.name not in names] + added
