"""Posters, stills and contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media.poster import contact_sheet, poster, stills
from media.probe import UnreadableVideo
from tests.support.media_files import paint_flat, write_clip


@pytest.fixture
def staircase(tmp_path: Path) -> Path:
    """120 frames, each two grey levels brighter than the one before."""
    return write_clip(tmp_path / "v.mp4", 120, lambda number: paint_flat(5 + 2 * number, 96, 64)(0))


def grey(path: Path) -> float:
    with Image.open(path) as image:
        return float(np.asarray(image.convert("L")).mean())


def test_stills_stand_at_a_sixth_a_half_and_five_sixths(tmp_path: Path, staircase: Path) -> None:
    """To the frame, although only key frames can be jumped to."""
    paths = stills(staircase, tmp_path)
    assert [path.name for path in paths] == ["still-1.jpg", "still-2.jpg", "still-3.jpg"]
    assert [grey(path) for path in paths] == pytest.approx([5 + 2 * 20, 5 + 2 * 60, 5 + 2 * 100], abs=1.5)


def test_a_poster_fits_its_side_and_is_the_same_each_time(tmp_path: Path, staircase: Path) -> None:
    """The longer side is bounded, the aspect kept, small videos are not blown up."""
    poster(staircase, tmp_path / "a.jpg", max_side=48)
    poster(staircase, tmp_path / "b.jpg", max_side=48)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.size == (48, 32)
    poster(staircase, tmp_path / "c.jpg", max_side=4_000)
    with Image.open(tmp_path / "c.jpg") as image:
        assert image.size == (96, 64)
    assert grey(tmp_path / "c.jpg") == pytest.approx(5 + 2 * 40, abs=1.5)


def test_a_video_of_one_frame_has_all_its_stills(tmp_path: Path) -> None:
    """Short videos repeat their frame."""
    video = write_clip(tmp_path / "v.mp4", 1, paint_flat(99))
    poster(video, tmp_path / "p.jpg")
    assert len(stills(video, tmp_path, count=5)) == 5


def test_a_contact_sheet_has_its_rows_and_columns(tmp_path: Path, staircase: Path) -> None:
    """Three pictures in two columns make two rows, with a line of text below each picture."""
    pictures = stills(staircase, tmp_path)
    contact_sheet(pictures, tmp_path / "sheet.jpg", columns=2, labels=["one", "two", "three"])
    contact_sheet(pictures, tmp_path / "bare.jpg", columns=9)
    with Image.open(tmp_path / "sheet.jpg") as sheet, Image.open(tmp_path / "bare.jpg") as bare:
        assert sheet.size == (2 * 192, 2 * (192 + 18))
        assert bare.size == (3 * 192, 192)
        assert np.asarray(sheet.convert("L"))[192:210, :192].min() < 100
    with pytest.raises(ValueError, match="2 labels"):
        contact_sheet(pictures, tmp_path / "x.jpg", labels=["one", "two"])
    with pytest.raises(ValueError, match="0 pictures"):
        contact_sheet([], tmp_path / "x.jpg")


def test_what_is_no_video_has_no_poster(tmp_path: Path) -> None:
    """The error names the file and nothing is written."""
    (tmp_path / "v.mp4").write_bytes(b"nonsense")
    with pytest.raises(UnreadableVideo, match=r"v\.mp4"):
        poster(tmp_path / "v.mp4", tmp_path / "p.jpg")
    assert not (tmp_path / "p.jpg").exists()
