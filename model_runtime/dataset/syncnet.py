"""Whether lips and sound fit, by SyncNet (Chung and Zisserman, "Out of time", ACCV 2016), as LatentSync uses it.

Layers and names are those of the published weights `syncnet_v2.model`; crops, features and the score follow the
authors' own evaluation.
"""

from __future__ import annotations

import math
import tempfile
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_runtime.dataset.requirements import require
from model_runtime.dataset.seams import About, Film, Pixels, SyncScore, Vector
from schemas.dataset import DatasetOrder
from schemas.errors import InvalidInput
from schemas.model_spec import SPEECH_RATE

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FILE, FOLDER = "syncnet_v2.model", "syncnet"
"""The published weights, and where they lie in the folder of the dataset's."""
_GET = "put syncnet_v2.model, as download_model.sh of github.com/joonson/syncnet_python names it, into the named folder"
_SIDE = 224
_WINDOW = 5
FEWEST_FRAMES = _WINDOW + 1
_MOST_LAG = 15
_AROUND = 0.4
_GREY = 110
_BATCH = 20
_HEARD, _HOP, _POINTS, _BANDS, _CEPSTRA = 400, 160, 512, 26, 13


class SyncNetScorer:
    """Confidence is the median over lags of the mean distance less the smallest; the best person of the clip counts.

    Raises:
        InvalidInput: packages or weights are missing.
    """

    min_confidence = 3.0
    """What LatentSync's preparation of data asks for."""

    def __init__(self, order: DatasetOrder) -> None:
        folder = Path(order.weights) / FOLDER
        packages = ("torch",)
        mark = require("syncnet", packages=packages, folder=folder, files=(FILE,), get=_GET)
        self.about = About(name="syncnet", version=f"1 {mark}")
        self._syncnet = SyncNet(folder / FILE, device=order.device)

    def score(self, film: Film) -> SyncScore:
        assert film.sound is not None
        assert film.boxes is not None
        scores = [self._syncnet.score(film.frames, boxes, film.sound) for boxes in film.boxes]
        return max(scores, key=lambda score: score.confidence)


class SyncNet:
    """The network with the published weights, loaded when it is first asked.

    Raises:
        InvalidInput: the file is not SyncNet's.
    """

    def __init__(self, path: Path, *, device: str) -> None:
        self._path, self._device = path, device

    @cached_property
    def _network(self) -> torch.nn.Module:
        from safetensors.torch import load_file

        from model_runtime.humo.weights.convert import convert_files

        network = syncnet()
        # Published as a pickle, which nothing but the converter's own process opens.
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, FILE)
            link.symlink_to(self._path.absolute())
            weights = load_file(convert_files([link])[0])
        counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
        try:
            network.load_state_dict(weights | counters)
        except RuntimeError as error:
            raise InvalidInput(f"{FILE} is not SyncNet's: {str(error)[:300]}", fix=_GET) from error
        return network.to(self._device).eval()

    def score(self, frames: Pixels, boxes: NDArray[np.float32], sound: Vector) -> SyncScore:
        """Of one person: frames uint8 [T, H, W, 3] at 25 a second, boxes [T, 4] around the face, sound at 16 kHz."""
        import torch

        lips = torch.from_numpy(lip_crops(frames, boxes)).permute(3, 0, 1, 2).float()
        heard = torch.from_numpy(cepstra(sound)).float()
        last = min(lips.shape[1], heard.shape[1] // 4) - _WINDOW
        seen, spoken = [], []
        with torch.inference_mode():
            for first in range(0, last, _BATCH):
                at = range(first, min(last, first + _BATCH))
                pieces = torch.stack([lips[:, k : k + _WINDOW] for k in at]).to(self._device)
                seen.append(_through(self._network, "netcnnlip", "netfclip", pieces).cpu())
                sounds = torch.stack([heard[None, :, 4 * k : 4 * k + 4 * _WINDOW] for k in at]).to(self._device)
                spoken.append(_through(self._network, "netcnnaud", "netfcaud", sounds).cpu())
        return score_of(torch.cat(seen), torch.cat(spoken))


def score_of(seen: Tensor, spoken: Tensor) -> SyncScore:
    """From embeddings [windows, n] of lips and of sound: the lag of the smallest mean distance, and how clear it is."""
    import torch

    padded = torch.nn.functional.pad(spoken, (0, 0, _MOST_LAG, _MOST_LAG))
    distances = torch.stack(
        [
            torch.nn.functional.pairwise_distance(seen, padded[lag : lag + len(seen)]).mean()
            for lag in range(2 * _MOST_LAG + 1)
        ]
    )
    best = int(distances.argmin())
    return SyncScore(best - _MOST_LAG, float(distances.median() - distances[best]))


def lip_crops(frames: Pixels, boxes: NDArray[np.float32]) -> Pixels:
    """[frames, 224, 224, 3], blue first: the lower face and some chin, steady, grey beyond the picture."""
    half = _steady(np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) / 2)
    middles = _steady((boxes[:, 0] + boxes[:, 2]) / 2), _steady((boxes[:, 1] + boxes[:, 3]) / 2)
    found = np.empty((len(frames), _SIDE, _SIDE, 3), np.uint8)
    for k, frame in enumerate(frames):
        size, x, y = float(half[k]), float(middles[0][k]), float(middles[1][k])
        reach = size * (1 + _AROUND)
        corner = (round(x - reach), round(y - size))
        side = (max(1, round(2 * reach)), max(1, round(2 * size * (1 + _AROUND))))
        canvas = Image.new("RGB", side, (_GREY,) * 3)
        canvas.paste(Image.fromarray(frame), (-corner[0], -corner[1]))
        found[k] = np.asarray(canvas.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))[..., ::-1]
    return found


def _steady(track: NDArray[Any], width: int = 13) -> NDArray[np.float32]:
    """Running median."""
    padded = np.pad(track, width // 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1), np.float32)


def cepstra(sound: Vector) -> NDArray[np.float64]:
    """13 mel-frequency cepstral coefficients every hundredth of a second, [13, n], of 16-bit samples.

    As the package python_speech_features computes them, which SyncNet was trained on: pre-emphasis 0.97, 25-ms windows
    without taper, 512-point spectra, 26 triangles up to 8 kHz, orthonormal cosines, lifter 22,
    and the log of the energy for the first.
    """
    samples = np.clip(np.rint(sound * 32768.0), -32768, 32767)
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1])
    count = 1 + max(0, math.ceil((len(samples) - _HEARD) / _HOP))
    padded = np.pad(emphasised, (0, max(0, (count - 1) * _HOP + _HEARD - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _HEARD)[::_HOP][:count]
    power = np.abs(np.fft.rfft(windows, _POINTS)) ** 2 / _POINTS
    tiny = np.finfo(float).eps
    energy, bands = power.sum(1), power @ _triangles().T
    logs = np.log(np.where(bands == 0, tiny, bands))
    order, band = np.arange(_CEPSTRA)[:, None], np.arange(_BANDS)
    cosines = np.cos(np.pi * order * (2 * band + 1) / (2 * _BANDS)) * np.sqrt(2 / _BANDS)
    cosines[0] /= np.sqrt(2)
    found = (logs @ cosines.T) * (1 + 11 * np.sin(np.pi * np.arange(_CEPSTRA) / 22))
    found[:, 0] = np.log(np.where(energy == 0, tiny, energy))
    return np.ascontiguousarray(found.T)


@lru_cache(maxsize=1)
def _triangles() -> NDArray[np.float64]:
    """[26, 257], corners on whole bins."""
    mels = np.linspace(0, 2595 * np.log10(1 + SPEECH_RATE / 2 / 700), _BANDS + 2)
    corners = np.floor((_POINTS + 1) * 700 * (10 ** (mels / 2595) - 1) / SPEECH_RATE)
    bins = np.arange(_POINTS // 2 + 1)
    left, top, right = (corners[k : k + _BANDS, None] for k in range(3))
    rising = np.where((bins >= left) & (bins < top), (bins - left) / np.maximum(top - left, 1), 0)
    falling = np.where((bins >= top) & (bins < right), (right - bins) / np.maximum(right - top, 1), 0)
    return np.asarray(rising + falling, np.float64)


def _through(network: torch.nn.Module, first: str, then: str, pieces: Tensor) -> Tensor:
    middle = network.get_submodule(first)(pieces)
    answer: Tensor = network.get_submodule(then)(middle.flatten(1))
    return answer


def syncnet() -> torch.nn.Module:
    """The two streams, without weights."""
    from torch import nn

    def conv(kind: Any, norm: Any, given: int, out: int, kernel: Any, **more: Any) -> list[nn.Module]:
        return [kind(given, out, kernel_size=kernel, **more), norm(out), nn.ReLU()]

    def sound(given: int, out: int, kernel: Any = 3, padding: Any = 1) -> list[nn.Module]:
        return conv(nn.Conv2d, nn.BatchNorm2d, given, out, kernel, padding=padding)

    def lip(
        given: int, out: int, kernel: Any = (1, 3, 3), padding: Any = (0, 1, 1), stride: Any = 1
    ) -> list[nn.Module]:
        return conv(nn.Conv3d, nn.BatchNorm3d, given, out, kernel, padding=padding, stride=stride)

    def head() -> nn.Module:
        return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))

    halves = (1, 2, 2)
    network = nn.Module()
    network.netcnnaud = nn.Sequential(
        *sound(1, 64),
        nn.MaxPool2d(1, 1),
        *sound(64, 192),
        nn.MaxPool2d(3, stride=(1, 2)),
        *sound(192, 384),
        *sound(384, 256),
        *sound(256, 256),
        nn.MaxPool2d(3, stride=2),
        *sound(256, 512, (5, 4), 0),
    )
    network.netfcaud = head()
    network.netfclip = head()
    network.netcnnlip = nn.Sequential(
        *lip(3, 96, (5, 7, 7), 0, halves),
        nn.MaxPool3d((1, 3, 3), stride=halves),
        *lip(96, 256, (1, 5, 5), (0, 1, 1), halves),
        nn.MaxPool3d((1, 3, 3), stride=halves, padding=(0, 1, 1)),
        *lip(256, 256),
        *lip(256, 256),
        *lip(256, 256),
        nn.MaxPool3d((1, 3, 3), stride=halves),
        *lip(256, 512, (1, 6, 6), 0),
    )
    return network
