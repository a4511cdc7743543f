"""The parts of the SyncNet adapter that need no weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -c constraints.txt -e '.[worker]'")

from model_runtime.dataset.seams import Film  # noqa: E402 - torch is looked for first
from model_runtime.dataset.syncnet import SyncNetScorer, cepstra, lip_crops, score_of, syncnet  # noqa: E402
from schemas.errors import InvalidInput  # noqa: E402
from tests.support.datasets import world_order  # noqa: E402


@pytest.mark.parametrize("late", [-7, 0, 3])
def test_the_offset_is_how_late_the_sound_comes(late: int) -> None:
    """Embeddings of sound that were moved by some frames are found at that lag, with confidence."""
    seen = torch.randn(60, 32, generator=torch.Generator().manual_seed(0))
    score = score_of(seen, torch.roll(seen, late, dims=0))
    assert score.offset == late
    assert score.confidence > 1
    stranger = torch.randn(60, 32, generator=torch.Generator().manual_seed(1))
    assert score_of(seen, stranger).confidence < score.confidence / 3


def test_crops_follow_the_face_and_are_grey_beyond_the_picture() -> None:
    """224x224, blue first; a steady box gives the same crop of every frame."""
    frames = np.zeros((15, 80, 120, 3), np.uint8)
    frames[:, 20:60, 40:80] = (255, 0, 0)
    inside = lip_crops(frames, np.tile(np.float32([40, 20, 80, 60]), (15, 1)))
    assert inside.shape == (15, 224, 224, 3)
    assert tuple(inside[7, 100, 112]) == (0, 0, 255)
    assert (inside == inside[0]).all()
    edge = lip_crops(frames, np.tile(np.float32([100, 50, 140, 90]), (15, 1)))
    assert tuple(edge[7, 220, 220]) == (110, 110, 110)


def test_its_layers_have_the_published_shapes() -> None:
    """Five frames of 224x224 and twenty hundredths of a second each become 1,024 numbers, under the published names."""
    network = syncnet().eval()
    names = dict(network.named_parameters())
    assert names["netcnnlip.0.weight"].shape == (96, 3, 5, 7, 7)
    assert names["netcnnlip.18.weight"].shape == (512, 256, 1, 6, 6)
    assert names["netcnnaud.18.weight"].shape == (512, 256, 5, 4)
    with torch.inference_mode():
        lips = network.get_submodule("netcnnlip")(torch.zeros(1, 3, 5, 224, 224)).flatten(1)
        sound = network.get_submodule("netcnnaud")(torch.zeros(1, 1, 13, 20)).flatten(1)
        assert network.get_submodule("netfclip")(lips).shape == (1, 1024)
        assert network.get_submodule("netfcaud")(sound).shape == (1, 1024)


def test_sound_is_heard_as_it_was_in_training() -> None:
    """The fourth hundredth of a second of two tones, as python_speech_features 0.6 hears it."""
    time = np.arange(1600) / 16_000
    tones = (0.3 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 1800 * time)).astype(np.float32)
    found = cepstra(tones)
    assert found.shape == (13, 9)
    wanted = [
        21.551,
        6.9567,
        -26.45,
        -5.5864,
        8.4028,
        -35.6697,
        -61.5351,
        -15.2311,
        27.1054,
        8.3208,
        -6.3698,
        21.3761,
        32.9811,
    ]
    assert np.abs(found[:, 3] - wanted).max() < 1e-3


def test_weights_are_tensors_of_the_right_shapes_or_refused(tmp_path: Path) -> None:
    """A file of the published names is scored with; of others it is said that they are not SyncNet's."""
    order = world_order(clips=1).model_copy(update={"weights": str(tmp_path)})
    (tmp_path / "syncnet").mkdir()
    weights = syncnet().state_dict()
    torch.save(weights, tmp_path / "syncnet" / "syncnet_v2.model")
    frames = np.zeros((8, 64, 64, 3), np.uint8)
    film = Film(
        frames=frames, sound=np.zeros(8 * 640, np.float32), boxes=np.tile(np.float32([8, 8, 40, 40]), (1, 8, 1))
    )
    score = SyncNetScorer(order).score(film)
    assert np.isfinite(score.confidence)
    del weights["netfcaud.0.weight"]
    torch.save(weights, tmp_path / "syncnet" / "syncnet_v2.model")
    with pytest.raises(InvalidInput, match="not SyncNet's"):
        SyncNetScorer(order).score(film)
