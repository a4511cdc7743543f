"""Faces by insightface: SCRFD finds them, ArcFace tells them apart (the model pack buffalo_l)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from model_runtime.dataset.colours import behind, person_box, worn
from model_runtime.dataset.requirements import release, require
from model_runtime.dataset.seams import About, Box, Person, Picture, Vector
from schemas.dataset import DatasetOrder

_PACK = "buffalo_l"
_DETECTING = ("det_10g.onnx", "1k3d68.onnx")
_RECOGNISING = ("w600k_r50.onnx",)
_LEAST_SCORE = 0.6
_GET = (
    "pip install insightface onnxruntime; then put the files of the pack buffalo_l, which insightface publishes for "
    "non-commercial research only, into the named folder (docs/dataset.md)"
)


def _folder(order: DatasetOrder) -> Path:
    return Path(order.weights) / "insightface" / "models" / _PACK


def _fingerprint(adapter: str, order: DatasetOrder, files: tuple[str, ...]) -> str:
    packages = ("insightface", "onnxruntime")
    return require(adapter, packages=packages, folder=_folder(order), files=files, get=_GET)


@lru_cache(maxsize=2)
def _analysis(root: str, device: str) -> Any:
    """insightface's own pipeline; it would download what is missing, which is why it is looked for before."""
    from insightface.app import FaceAnalysis  # type: ignore[import-not-found]  # an optional package

    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"] if device != "cpu" else ["CPUExecutionProvider"]
    modules = ["detection", "landmark_3d_68", "recognition"]
    analysis = FaceAnalysis(name=_PACK, root=root, allowed_modules=modules, providers=providers)
    analysis.prepare(ctx_id=-1 if device == "cpu" else 0, det_size=(640, 640))
    return analysis


class ScrfdDetector:
    """Faces with their pose; clothes and background by colour.

    Raises:
        InvalidInput: packages or weights are missing.
    """

    def __init__(self, order: DatasetOrder) -> None:
        mark = _fingerprint("scrfd", order, _DETECTING)
        self.about = About(name="scrfd", version=f"1 insightface {release('insightface')} {mark}")
        self._root, self._device = str(_folder(order).parents[1]), order.device

    def people(self, picture: Picture) -> tuple[Person, ...]:
        height, width = picture.pixels.shape[:2]
        found = []
        # insightface wants blue first, as OpenCV reads pictures.
        blue_first = np.ascontiguousarray(picture.pixels[..., ::-1])
        analysis = _analysis(self._root, self._device)
        boxes, points = analysis.models["detection"].detect(blue_first)
        for row, five in zip(boxes, points, strict=True):
            if row[4] < _LEAST_SCORE:
                continue
            face = Box(*(float(value) for value in row[:4]))
            found.append(
                Person(
                    face=face,
                    shown=person_box(face, width, height),
                    score=float(row[4]),
                    pose=self._pose(analysis, blue_first, row, five),
                    clothes=worn(picture.pixels, face),
                    background=behind(picture.pixels, face),
                    points=np.asarray(five, np.float32),
                )
            )
        return tuple(found)

    @staticmethod
    def _pose(analysis: Any, blue_first: Any, row: Any, five: Any) -> tuple[float, float, float]:
        from insightface.app.common import Face  # type: ignore[import-not-found]  # an optional package

        face = Face(bbox=row[:4], kps=five, det_score=row[4])
        analysis.models["landmark_3d_68"].get(blue_first, face)
        pitch, yaw, roll = (float(angle) for angle in face.pose)
        return yaw, pitch, roll


class ArcFaceEmbedder:
    """ArcFace (ResNet-50 on WebFace600K) of the face as its five points align it.

    Raises:
        InvalidInput: packages or weights are missing.
    """

    same_person = 0.4
    """Our choice, to be strict about strangers; look at what it keeps before you trust it."""

    def __init__(self, order: DatasetOrder) -> None:
        mark = _fingerprint("arcface", order, (*_DETECTING, *_RECOGNISING))
        self.about = About(name="arcface", version=f"1 insightface {release('insightface')} {mark}")
        self._root, self._device = str(_folder(order).parents[1]), order.device

    def embed(self, picture: Picture, person: Person) -> Vector:
        from insightface.app.common import Face

        face = Face(bbox=np.asarray(person.face), kps=person.points, det_score=person.score)
        model = _analysis(self._root, self._device).models["recognition"]
        model.get(np.ascontiguousarray(picture.pixels[..., ::-1]), face)
        return np.asarray(face.normed_embedding, np.float32)
