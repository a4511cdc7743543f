"""The pictures of an animatic: what stands still is drawn once, what moves is a few small patches per frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from media.picture import letterbox
from model_runtime.engine import Frame
from model_runtime.engines.lettering import Font, font, legible, wrap
from schemas.job import RenderRequest
from schemas.model_spec import FPS, SAMPLES_PER_FRAME

Colour = tuple[int, int, int]

_INK: Colour = (244, 244, 240)
_DIM: Colour = (128, 134, 142)
_PAPER: Colour = (16, 19, 24)
_VOICE: Colour = (255, 190, 70)
_SHOT_START: Colour = (70, 210, 120)
_CLIP_START: Colour = (80, 160, 255)
_CLIP_END: Colour = (255, 120, 60)
_SHADE = 0.82
"""How much of the paper covers the picture under a panel."""

_BORDER_FRAMES = 2
"""A clip's first and last frames wear a border, so that every cut can be seen and counted."""

_MOUTHS = 24
"""Steps from a closed to an open mouth."""

_LEGIBLE_SIDE = 160
"""Smaller frames carry no text: nobody could read it."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where things stand, in pixels, for one frame size."""

    width: int
    height: int
    captions: int
    """Lines of caption."""

    @property
    def has_text(self) -> bool:
        return min(self.width, self.height) >= _LEGIBLE_SIDE

    @cached_property
    def unit(self) -> float:
        """1 at a short side of 480."""
        return min(self.width, self.height) / 480

    @cached_property
    def small(self) -> int:
        """Font size of the top bar."""
        return max(10, round(15 * self.unit))

    @cached_property
    def large(self) -> int:
        """Font size of the caption."""
        return max(11, round(19 * self.unit))

    @cached_property
    def pad(self) -> int:
        return max(1, round(10 * self.unit))

    @cached_property
    def bar(self) -> int:
        """Height of the top bar."""
        return round(self.small * 1.9) if self.has_text else 0

    @cached_property
    def wave_height(self) -> int:
        return max(4, round(52 * self.unit))

    @cached_property
    def caption_height(self) -> int:
        return round(self.large * 1.3) * self.captions if self.has_text else 0

    @cached_property
    def panel_top(self) -> int:
        return self.height - self.wave_height - self.caption_height - 3 * self.pad

    @cached_property
    def wave_top(self) -> int:
        return self.height - self.wave_height - self.pad

    @cached_property
    def wave_left(self) -> int:
        return self.pad + self.wave_height + self.pad

    @cached_property
    def wave_right(self) -> int:
        return self.width - self.pad

    @cached_property
    def border(self) -> int:
        return max(2, round(6 * self.unit))


class Storyboard:
    """The frames of one request, any of them, in any order.

    `pictures` are the references in the request's order; `speech` holds the samples of the request's range (16 kHz),
    or is None where the shot has none.
    """

    def __init__(
        self, request: RenderRequest, pictures: Sequence[Image.Image], speech: NDArray[np.int16] | None
    ) -> None:
        self._request = request
        self._voice = None if speech is None else _Voice(speech, request.keep_frames)
        self._layout = _lay_out(request)
        still = _draw_still(request, self._layout, pictures)
        self._waiting = np.asarray(still).copy()
        _draw_wave(self._waiting, self._layout, self._voice, _DIM)
        self._played = self._waiting.copy()
        _draw_wave(self._played, self._layout, self._voice, _VOICE)
        self._mouths = _draw_mouths(still, self._layout)
        self._digits = _Digits(self._layout.small) if self._layout.has_text else None
        self._frame = np.empty_like(self._waiting)

    def frame(self, index: int) -> Frame:
        """[height, width, 3] of frame `index` of the clip; the same array every time, drawn anew."""
        frame, layout, request = self._frame, self._layout, self._request
        np.copyto(frame, self._waiting)
        share = min(1.0, (index + 1) / request.keep_frames)
        head = layout.wave_left + round((layout.wave_right - layout.wave_left) * share)
        below = slice(layout.wave_top, layout.wave_top + layout.wave_height)
        frame[below, layout.wave_left : head] = self._played[below, layout.wave_left : head]
        frame[below, max(layout.wave_left, head - 2) : head] = _INK
        self._draw_progress(share)
        self._draw_mouth(index)
        if self._digits:
            text = f"{timecode(request.start_frame + index)}  {request.start_frame + index:05d}"
            self._digits.draw(frame, text, right=layout.width - layout.pad, middle=layout.bar // 2)
        self._draw_border(index)
        return frame

    def _draw_progress(self, share: float) -> None:
        layout = self._layout
        line = max(1, layout.pad // 3)
        self._frame[layout.panel_top - line : layout.panel_top, : round(layout.width * share)] = _VOICE

    def _draw_mouth(self, index: int) -> None:
        layout = self._layout
        loud = self._voice.loudness(index) if self._voice else 0.0
        patch = self._mouths[round(loud * (_MOUTHS - 1))]
        side = layout.wave_height
        self._frame[layout.wave_top : layout.wave_top + side, layout.pad : layout.pad + side] = patch

    def _draw_border(self, index: int) -> None:
        request, width = self._request, self._layout.border
        if index < _BORDER_FRAMES:
            colour = _CLIP_START if request.start_frame else _SHOT_START
        elif request.keep_frames - _BORDER_FRAMES <= index < request.keep_frames:
            colour = _CLIP_END
        else:
            return
        for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
            self._frame[edge] = colour


def timecode(frame: int) -> str:
    """HH:MM:SS:FF of a frame of the shot at 25 frames a second."""
    seconds, rest = divmod(frame, FPS)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"


class _Voice:
    """The clip's speech as the eye sees it: 0 is silence, 1 is full scale; quiet sounds are lifted."""

    def __init__(self, samples: NDArray[np.int16], frames: int) -> None:
        wanted = frames * SAMPLES_PER_FRAME
        self._level = np.zeros(wanted, dtype=np.float32)
        heard = samples[:wanted]
        self._level[: len(heard)] = np.abs(heard.astype(np.float32)) / 32768
        self._frames = frames

    def loudness(self, index: int) -> float:
        """RMS of the samples of that very frame."""
        own = self._level[index * SAMPLES_PER_FRAME : (index + 1) * SAMPLES_PER_FRAME]
        return 0.0 if not len(own) else min(1.0, (float(np.sqrt(np.mean(own * own))) * 2) ** 0.5)

    def columns(self, count: int) -> NDArray[np.float32]:
        """[count]: the peak of each of `count` equal parts."""
        edges = np.linspace(0, len(self._level), count + 1).astype(int)
        peaks = np.maximum.reduceat(self._level, np.minimum(edges[:-1], len(self._level) - 1))
        return np.sqrt(peaks)


class _Digits:
    """Signs of a running counter, drawn once and blended into each frame."""

    def __init__(self, size: int) -> None:
        face = font(size)
        self._advance = int(max(face.getlength(sign) for sign in "0123456789"))
        self._height = round(size * 1.3)
        self._masks = {sign: self._mask(sign, face) for sign in "0123456789: "}

    def _mask(self, sign: str, face: Font) -> NDArray[np.uint16]:
        width = self._advance if sign.isdigit() else self._advance // 2
        canvas = Image.new("L", (width, self._height))
        ImageDraw.Draw(canvas).text((width / 2, self._height / 2), sign, font=face, fill=255, anchor="mm")
        return np.asarray(canvas).astype(np.uint16)[..., None]

    def width(self, text: str) -> int:
        return sum(self._masks[sign].shape[1] for sign in text)

    def draw(self, frame: Frame, text: str, *, right: int, middle: int) -> None:
        mask = np.concatenate([self._masks[sign] for sign in text], axis=1)
        top, left = max(0, middle - self._height // 2), max(0, right - mask.shape[1])
        under = frame[top : top + self._height, left:right]
        mask = mask[: under.shape[0], : under.shape[1]]
        under[:] = (under * (255 - mask) + np.array(_INK, dtype=np.uint16) * mask) // 255


# -- what stands still ---------------------------------------------------------------------------------------------


def _lay_out(request: RenderRequest) -> Layout:
    bare = Layout(width=request.width, height=request.height, captions=0)
    lines = wrap(legible(request.prompt), font(bare.large), bare.width - 2 * bare.pad, 3) if bare.has_text else []
    return Layout(width=request.width, height=request.height, captions=len(lines))


def _draw_still(request: RenderRequest, layout: Layout, pictures: Sequence[Image.Image]) -> Image.Image:
    """Everything that no frame changes: picture, panels, references, caption and the facts of the request."""
    size = (layout.width, layout.height)
    still = letterbox(pictures[0], *size) if pictures else _silhouette(layout)
    _shade(still, (0, 0, layout.width, layout.bar))
    _shade(still, (0, layout.panel_top, layout.width, layout.height))
    if len(pictures) > 1:
        _draw_references(still, layout, pictures)
    if layout.has_text:
        _draw_facts(still, request, layout, references=len(pictures))
        _draw_caption(still, request, layout)
        if not request.mode.has_speech:
            _draw_silence(still, layout)
    return still


def _shade(still: Image.Image, box: tuple[int, int, int, int]) -> None:
    if box[2] > box[0] and box[3] > box[1]:
        part = still.crop(box)
        still.paste(Image.blend(part, Image.new("RGB", part.size, _PAPER), _SHADE), box)


def _silhouette(layout: Layout) -> Image.Image:
    """Head and shoulders in grey, in the place of a reference that the mode does not have."""
    ramp = np.linspace(74, 40, layout.height, dtype=np.float32).astype(np.uint8)
    tint = np.array([0, 4, 10], dtype=np.uint8)
    still = Image.fromarray(np.broadcast_to(ramp[:, None, None] + tint, (layout.height, layout.width, 3)).copy())
    draw = ImageDraw.Draw(still)
    x, top, room = layout.width / 2, layout.bar + layout.pad, layout.panel_top - layout.bar - layout.pad
    head = min(room * 0.24, layout.width * 0.2)
    grey = (104, 112, 124)
    shoulders = (x - 2.2 * head, top + 2.15 * head, x + 2.2 * head, top + room + 3 * head)
    draw.rounded_rectangle(shoulders, radius=1.5 * head, fill=grey)
    draw.rectangle((x - 0.42 * head, top + 1.5 * head, x + 0.42 * head, top + 2.6 * head), fill=grey)
    draw.ellipse((x - 0.82 * head, top, x + 0.82 * head, top + 2 * head), fill=(122, 130, 142))
    return still


def _draw_references(still: Image.Image, layout: Layout, pictures: Sequence[Image.Image]) -> None:
    """All references in order, framed as the model sees them, in columns from the right edge."""
    top, room = layout.bar + layout.pad, layout.panel_top - layout.bar - 2 * layout.pad
    columns = 1 if len(pictures) <= 5 else 2
    rows = -(-len(pictures) // columns)
    height = min(round(84 * layout.unit), (room - (rows - 1) * layout.pad // 2) // rows)
    width = min(height * layout.width // layout.height, layout.width // 4)
    if min(width, height) < 8:
        return
    draw = ImageDraw.Draw(still)
    for place, picture in enumerate(pictures):
        column, row = divmod(place, rows)
        x = layout.width - layout.pad - (columns - column) * width - (columns - column - 1) * layout.pad // 2
        y = top + row * (height + layout.pad // 2)
        still.paste(letterbox(picture, width, height), (x, y))
        draw.rectangle((x - 1, y - 1, x + width, y + height), outline=_DIM if place else _VOICE)
        if layout.has_text:
            tag = round(layout.small * 1.35)
            draw.rectangle((x, y, x + tag, y + tag), fill=_PAPER)
            draw.text((x + tag / 2, y + tag / 2), str(place + 1), font=font(layout.small), fill=_INK, anchor="mm")


def _draw_facts(still: Image.Image, request: RenderRequest, layout: Layout, *, references: int) -> None:
    face = font(layout.small)
    facts = ["animatic", str(request.mode), f"{request.width}x{request.height}", f"seed {request.seed}"]
    if references > 1:
        facts.append(f"{references} references")
    room = layout.width - 3 * layout.pad - _Digits(layout.small).width("00:00:00:00  00000")
    while facts and face.getlength(text := "  ·  ".join(facts)) > room:
        facts.pop()
    if facts:
        ImageDraw.Draw(still).text((layout.pad, layout.bar / 2), text, font=face, fill=_INK, anchor="lm")


def _draw_caption(still: Image.Image, request: RenderRequest, layout: Layout) -> None:
    face, draw = font(layout.large), ImageDraw.Draw(still)
    for number, line in enumerate(wrap(legible(request.prompt), face, layout.width - 2 * layout.pad, 3)):
        y = layout.panel_top + layout.pad + round(layout.large * 1.3) * (number + 0.5)
        draw.text((layout.pad, y), line, font=face, fill=_INK, anchor="lm")


def _draw_silence(still: Image.Image, layout: Layout) -> None:
    middle = ((layout.wave_left + layout.wave_right) / 2, layout.wave_top + layout.wave_height * 0.22)
    ImageDraw.Draw(still).text(middle, "no speech", font=font(layout.small), fill=_DIM, anchor="mm")


def _draw_wave(frame: Frame, layout: Layout, voice: _Voice | None, colour: Colour) -> None:
    """The whole clip's speech; without speech a line, so that the playhead still says how far the clip is."""
    count = layout.wave_right - layout.wave_left
    if count < 1:
        return
    half = layout.wave_height / 2
    heights = np.zeros(count) if voice is None else voice.columns(count)
    away = np.abs(np.arange(layout.wave_height) + 0.5 - half)
    lit = away[:, None] <= np.maximum(1.0, heights[None, :] * half)
    frame[layout.wave_top : layout.wave_top + layout.wave_height, layout.wave_left : layout.wave_right][lit] = colour


def _draw_mouths(still: Image.Image, layout: Layout) -> list[Frame]:
    """The mouth from closed to open, on the picture as it is below; drawn large and reduced for smooth edges."""
    side, fine = layout.wave_height, 4
    box = (layout.pad, layout.wave_top, layout.pad + side, layout.wave_top + side)
    ground = still.crop(box).resize((side * fine, side * fine))
    mouths = []
    for step in range(_MOUTHS):
        picture = ground.copy()
        draw = ImageDraw.Draw(picture)
        middle, reach = side * fine / 2, side * fine * 0.46
        lips = side * fine * (0.09 + 0.33 * step / (_MOUTHS - 1))
        gap = side * fine * 0.3 * step / (_MOUTHS - 1)
        draw.ellipse((middle - reach, middle - lips, middle + reach, middle + lips), fill=(226, 92, 92))
        inner = reach * 0.78
        draw.ellipse((middle - inner, middle - gap - 1, middle + inner, middle + gap + 1), fill=(58, 12, 20))
        mouths.append(np.asarray(picture.resize((side, side), Image.Resampling.BOX)))
    return mouths
