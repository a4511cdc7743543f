"""Still pictures of a video: a poster, a few frames, and sheets of many pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from media.files import replacing
from media.picture import letterbox
from media.probe import UnreadableVideo, open_video, pictures

_POSTER_AT = Fraction(1, 3)
"""Share of the length: past the first frames, which models render worst, and before a fade."""

_CELL = (192, 192)
_LABEL_HEIGHT = 18


def poster(video: Path, out_jpg: Path, *, max_side: int = 1280) -> None:
    """One frame of the video as JPEG, its longer side at most `max_side` pixels.

    Raises:
        UnreadableVideo: the video has no picture that decodes.
    """
    (picture,) = _pick(video, [_POSTER_AT])
    _save(picture, out_jpg, max_side)


def stills(video: Path, out_dir: Path, count: int = 3, *, max_side: int = 640) -> tuple[Path, ...]:
    """`count` frames in the middle of as many equal parts: for three, at a sixth, a half and five sixths.

    They are written as `still-1.jpg` and so on.

    Raises:
        UnreadableVideo: the video has no picture that decodes.
    """
    places = [Fraction(2 * number + 1, 2 * count) for number in range(count)]
    paths = tuple(out_dir / f"still-{number}.jpg" for number in range(1, count + 1))
    for picture, path in zip(_pick(video, places), paths, strict=True):
        _save(picture, path, max_side)
    return paths


def contact_sheet(images: Sequence[Path], out: Path, *, columns: int = 4, labels: Sequence[str] = ()) -> None:
    """Pictures of our own making side by side on one JPEG, row by row, each with its label below.

    Raises:
        ValueError: no picture, or another number of labels than pictures.
    """
    if not images or (labels and len(labels) != len(images)):
        raise ValueError(f"{len(images)} pictures and {len(labels)} labels make no sheet")
    columns = min(columns, len(images))
    width, height = _CELL[0], _CELL[1] + (_LABEL_HEIGHT if labels else 0)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, path in enumerate(images):
        left, top = number % columns * width, number // columns * height
        with Image.open(path, formats=["JPEG", "PNG", "WEBP"]) as image:
            sheet.paste(letterbox(image, *_CELL), (left, top))
        if labels:
            draw.text((left + 4, top + _CELL[1] + 1), labels[number][:30], fill="black", font=font)
    _save(sheet, out, max(sheet.size))


def _pick(video: Path, places: Sequence[Fraction]) -> Iterator[Image.Image]:
    """The frames at these shares of the length, each by a jump to the key frame before it."""
    with open_video(video) as container:
        if not container.streams.video:
            raise UnreadableVideo(f"{video.name} has no picture track", fix="join it again")
        stream = container.streams.video[0]
        length = stream.duration or 0
        for place in places:
            wanted = int(length * place)
            container.seek(wanted, stream=stream)
            last = None
            for frame in pictures(container):
                last = frame
                if frame.pts is not None and frame.pts + (frame.duration or 0) > wanted:
                    break
            if last is None:
                raise UnreadableVideo(f"{video.name} holds no picture", fix="join it again")
            yield Image.fromarray(last.to_ndarray(format="rgb24"))


def _save(picture: Image.Image, path: Path, max_side: int) -> None:
    picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    with replacing(path) as part:
        picture.save(part, "JPEG", quality=88, optimize=True)
