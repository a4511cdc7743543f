"""How much the autoencoder keeps: of pictures, of faces part by part, and of what the mouth says."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from numpy.typing import NDArray
from PIL import Image

from model_runtime.training.autoencoder import whole
from model_runtime.training.autoencoder.footage import EYES, FACE, MOUTH, Footage
from model_runtime.training.autoencoder.windows import pixels
from model_runtime.training.world.clip import Pixels

_AT_ONCE = 4
_PARTS = {"face": FACE, "mouth": MOUTH, "eyes": EYES}
_MOUTH_WINDOW = (16, 20)
"""Rows and columns around a mouth's middle that its opening is read from."""
_RIDGE = 30.0
_SHOWN = 6
"""Frames of each clip on a sheet."""


@torch.no_grad()
def round_trip(vae: AutoencoderKLWan, frames: Pixels) -> Pixels:
    """[clips, 4k+1, h, w, 3] through the posterior's mean and back, as the engine shows it."""
    made = []
    for start in range(0, len(frames), _AT_ONCE):
        video = whole.decode(vae, whole.encode(vae, pixels(frames[start : start + _AT_ONCE])).mean)
        levels = (video.clamp(-1, 1) * 0.5 + 0.5) * 255
        made.append(levels.to(torch.uint8).movedim(1, -1).numpy())
    return np.concatenate(made)


def psnr(made: Pixels, wanted: Pixels, where: NDArray[np.bool_] | None = None) -> float:
    """dB of 255, over all pixels or those [..., h, w] that are set; not a number where none is."""
    error = np.square(made.astype(np.float32) - wanted.astype(np.float32))
    if where is not None:
        error = error[where]
    if not error.size:
        return math.nan
    return float(10 * math.log10(255**2 / max(float(error.mean(dtype=np.float64)), 1e-10)))


class Quality:
    """The same clips every time; what reads the mouth is fitted once, on true frames of other clips.

    Args:
        footage: what is judged, never trained on.
        training: whose true frames teach the reader of mouths.
        clips: how many are judged; all by default.
    """

    def __init__(self, footage: Footage, training: Footage, *, clips: int | None = None) -> None:
        self._count = min(clips or len(footage), len(footage))
        self._footage = footage
        self._reader = MouthReader(training)

    def __call__(self, vae: AutoencoderKLWan) -> dict[str, float]:
        """Figures by name: PSNR in dB, over all and within parts; r of the mouth's opening as read, per clip.

        `opening_true` is what the reader makes of the true frames: no autoencoder can be held to more.
        """
        count, shown = self._count, self._footage
        frames, marks, openings = shown.frames[:count], shown.marks[:count], shown.openings[:count]
        made = round_trip(vae, frames)
        pictures = shown.pictures[:count, :1]
        still = round_trip(vae, pictures)
        figures = {"psnr": psnr(made, frames)}
        figures |= {name: psnr(made, frames, (marks & bit) > 0) for name, bit in _PARTS.items()}
        figures["first_frame"] = psnr(made[:, 0], frames[:, 0])
        figures["pictures"] = psnr(still, pictures)
        figures["picture_eyes"] = psnr(still, pictures, (shown.picture_marks[:count, :1] & EYES) > 0)
        figures["opening"] = self._reader.correlation(made, marks, openings)
        figures["opening_true"] = self._reader.correlation(frames, marks, openings)
        return figures

    def sheet(self, vae: AutoencoderKLWan, clips: int = 6) -> Image.Image:
        """Two rows of frames per clip, first true, then through the autoencoder; a reference picture leads."""
        frames, pictures = self._footage.frames[:clips], self._footage.pictures[:clips, :1]
        made, stills = round_trip(vae, frames), round_trip(vae, pictures)
        chosen = np.linspace(0, frames.shape[1] - 1, _SHOWN).round().astype(int)
        rows = []
        for index in range(len(frames)):
            for picture, clip in ((pictures, frames), (stills, made)):
                rows.append(np.concatenate([picture[index, 0], *clip[index, chosen]], axis=1))
        return Image.fromarray(np.concatenate(rows)).resize(
            (2 * rows[0].shape[1], 2 * len(rows) * rows[0].shape[0]), Image.Resampling.NEAREST
        )


class MouthReader:
    """A mouth's opening from the pixels around it: ridge regression on true frames.

    Only clips with one mouth that is seen in every frame are read.
    """

    def __init__(self, footage: Footage, *, clips: int = 600) -> None:
        rows, wanted = [], []
        for frames, marks, opening in zip(
            footage.frames[:clips], footage.marks[:clips], footage.openings[:clips], strict=True
        ):
            middle = _middle(marks)
            if middle is not None:
                rows.append(_around(frames, middle))
                wanted.append(opening)
        self._weights: NDArray[np.float64] | None = None
        if rows:
            x, y = np.concatenate(rows), np.concatenate(wanted)
            self._mean, self._level = x.mean(0), float(y.mean())
            x = x - self._mean
            self._weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ (y - self._level))

    def read(self, frames: Pixels, middle: tuple[int, int]) -> NDArray[np.float64]:
        """[frames] of one clip [frames, h, w, 3] whose mouth is around that row and column."""
        assert self._weights is not None
        return np.asarray((_around(frames, middle) - self._mean) @ self._weights + self._level)

    def correlation(self, frames: Pixels, marks: NDArray[np.uint8], openings: NDArray[np.float32]) -> float:
        """Mean of each clip's Pearson r between what is read and what was said; not a number where no mouth moves."""
        found = list(self._each(frames, marks, openings))
        return float(np.mean(found)) if found else math.nan

    def _each(self, frames: Pixels, marks: NDArray[np.uint8], openings: NDArray[np.float32]) -> Iterator[float]:
        for clip, mark, opening in zip(frames, marks, openings, strict=True):
            middle = _middle(mark)
            if self._weights is not None and middle is not None and opening.std() > 0.02:
                yield float(np.corrcoef(self.read(clip, middle), opening)[0, 1])


def _middle(marks: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Row and column of a clip's only mouth; None where there are two, or where it is hidden or at the edge."""
    mouth = (marks & MOUTH) > 0
    if mouth.sum((1, 2)).min() < 4:
        return None
    _, rows, columns = np.nonzero(mouth)
    row, column = round(float(rows.mean())), round(float(columns.mean()))
    high, wide = _MOUTH_WINDOW
    height, width = marks.shape[1:]
    is_inside = high // 2 <= row <= height - high // 2 and wide // 2 <= column <= width - wide // 2
    return (row, column) if is_inside and np.ptp(columns) <= wide else None


def _around(frames: Pixels, middle: tuple[int, int]) -> NDArray[np.float64]:
    """[frames, features]: colours around the mouth and their squares, each colour less its mean over the window."""
    high, wide = _MOUTH_WINDOW
    top, left = middle[0] - high // 2, middle[1] - wide // 2
    cut = frames[:, top : top + high, left : left + wide].astype(np.float64) / 255
    # Skin and light differ between people; what is read is what stands out from them.
    cut = cut - np.median(cut, axis=(0, 1, 2))
    flat = cut.reshape(len(cut), -1)
    return np.concatenate((flat, flat**2), axis=1)
