"""Whatever is broken in a file, the answer is facts or InvalidMedia: no other error, no crash."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.picture import check_picture, load_picture
from media.speech import check_speech
from schemas.errors import InvalidMedia
from schemas.settings import Limits
from tests.support.media_files import image_bytes, noise, photo, write_sound

LIMITS = Limits()


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[float, int]]:
    """Places, as shares of the length, and what stands there instead; -1 cuts the file off."""
    place = st.floats(0, 1, exclude_max=True)
    return draw(st.lists(st.tuples(place, st.integers(-1, 255)), min_size=1, max_size=12))


def damaged(data: bytes, damage: list[tuple[float, int]]) -> bytes:
    broken = bytearray(data)
    for share, value in damage:
        at = int(share * len(broken))
        if value < 0:
            del broken[at + 1 :]
        else:
            broken[at] = value
    return bytes(broken)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages())
def test_damaged_pictures(tmp_path: Path, kind: str, damage: list[tuple[float, int]]) -> None:
    """What the check accepts, the load accepts; what it refuses has a code."""
    path = tmp_path / "p"
    path.write_bytes(damaged(image_bytes(photo(70, 70), kind), damage))
    try:
        facts = check_picture(path, LIMITS)
    except InvalidMedia:
        with pytest.raises(InvalidMedia):
            load_picture(path)
    else:
        assert load_picture(path).size == (facts.width, facts.height)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One short sound in every container."""
    folder = tmp_path_factory.mktemp("sounds")
    made = {kind: write_sound(folder / f"s.{kind}", noise(0.4), 16_000) for kind in ("wav", "flac", "ogg")}
    for kind, codec in (("mp3", "libmp3lame"), ("ipod", "aac"), ("adts", "aac")):
        made[kind] = write_sound(folder / f"s.{kind}", noise(0.4), 16_000, codec=codec, kind=kind)
    return {kind: path.read_bytes() for kind, path in made.items()}


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "ipod", "adts"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages())
def test_damaged_sounds(tmp_path: Path, sounds: dict[str, bytes], kind: str, damage: list[tuple[float, int]]) -> None:
    """A damaged sound is refused with a code or heard as what is left of it."""
    path = tmp_path / "s"
    path.write_bytes(damaged(sounds[kind], damage))
    with contextlib.suppress(InvalidMedia):
        facts = check_speech(path, LIMITS)
        assert facts.samples > 0
        assert len(facts.envelope) == -(-facts.samples * 25 // facts.sample_rate)
