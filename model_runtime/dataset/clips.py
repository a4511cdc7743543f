"""Stage 0: videos to clips of one length, at 25 fps and 16 kHz, each with a dense caption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from media.footage import SUFFIXES, BadFootage, FootageFacts
from media.sandbox import Sandbox, SandboxLimits
from model_runtime.dataset.films import PER_FRAME, decode_sound, encode_arrays, encode_film, encode_sound
from model_runtime.dataset.seams import Film, Pixels, Vector
from model_runtime.dataset.shard import Sample, as_json
from model_runtime.dataset.sources import Source, SourceFolder, grouped, is_unchanged, sidecar_of
from model_runtime.dataset.tally import Tally
from model_runtime.dataset.workshop import Tick, Unit, Workshop
from model_runtime.dataset.world_clips import WorldClips
from schemas.dataset import FolderSource, Step, WorldSource
from schemas.errors import Retryable
from schemas.model_spec import FPS, SPEECH_RATE
from schemas.settings import Limits

VERSION = 1
"""Changes with anything that would put other bytes into a shard."""

_CAPTION_CHARS = 4000
_MEMORY = 3 * 2**30
"""Of the process that decodes: two hours of sound at 16 kHz are held at once."""


def units(workshop: Workshop) -> list[Unit]:
    """One shard per `per_shard` clips of the world or videos of the folder.

    Raises:
        InvalidInput: the folder is missing or holds no videos.
    """
    if isinstance(workshop.order.source, WorldSource):
        return list(_world_units(workshop, workshop.order.source))
    return list(_folder_units(workshop, workshop.order.source))


def _recipe(workshop: Workshop, settings: dict[str, Any], given: object) -> dict[str, Any]:
    order = workshop.order
    return {
        "step": Step.CLIPS,
        "version": VERSION,
        "settings": {"frames": order.frames, "size": [order.width, order.height], **settings},
        "adapters": [workshop.team.captioner.about.as_list()],
        "input": given,
    }


# -- the procedural world ----------------------------------------------------------------------------------------------


def _world_units(workshop: Workshop, source: WorldSource) -> Iterator[Unit]:
    world = WorldClips(workshop.order)
    spoils = source.spoils.model_dump(include={"offset", "voice", "noise"})
    settings = {"world": world.world.digest, "split": source.split, "spoils": spoils}
    for first in range(0, source.clips, workshop.order.per_shard):
        indices = range(first, min(source.clips, first + workshop.order.per_shard))
        recipe = _recipe(workshop, settings, [first, len(indices)])
        yield Unit(recipe=recipe, samples=partial(_world_samples, workshop, world, indices))


def _world_samples(
    workshop: Workshop, world: WorldClips, indices: Sequence[int], tally: Tally, tick: Tick
) -> Iterator[Sample]:
    for done, clip in enumerate(world.clips(indices)):
        tally.came += 1
        tally.looked["clips cut"] += 1
        film = Film(frames=clip.frames, sound=clip.sound, truth={**clip.facts, **clip.arrays})
        facts = {"source": world.world.digest, "first_frame": 0, "truth": clip.facts}
        sample = _captioned(workshop, clip.key, film, facts, tally)
        if sample is not None:
            yield Sample(key=sample.key, files={**sample.files, "truth.npz": encode_arrays(clip.arrays)})
        tick(done + 1, len(indices))


# -- a folder of videos ------------------------------------------------------------------------------------------------


def _folder_units(workshop: Workshop, source: FolderSource) -> Iterator[Unit]:
    folder = SourceFolder(Path(source.videos), SUFFIXES, workshop.root / ".videos.json", "videos")
    settings = {"scene_change": workshop.order.rules.scene_change}
    for group in grouped(folder.files(), workshop.order.per_shard):
        recipe = _recipe(workshop, settings, [one.as_list() for one in group])
        yield Unit(recipe=recipe, samples=partial(_folder_samples, workshop, group))


def _folder_samples(workshop: Workshop, group: Sequence[Source], tally: Tally, tick: Tick) -> Iterator[Sample]:
    order = workshop.order
    # Of one clip's raw frames, or the sound of the longest video.
    most = max(2**30, order.frames * order.width * order.height * 3)
    limits = SandboxLimits(memory_bytes=_MEMORY, cpu_s=3600, wall_s=7200.0, file_bytes=most)
    seen = set[str]()
    with Sandbox(Limits(), sandbox=limits) as sandbox:
        for done, source in enumerate(group):
            tally.came += 1
            if source.sha256 and source.sha256 in seen:
                tally.dropped["same video twice"] += 1
            else:
                seen.add(source.sha256)
                try:
                    _refuse_changed(source)
                    yield from _cut(workshop, sandbox, source, tally)
                except BadFootage as error:
                    tally.dropped[error.reason] += 1
            tick(done + 1, len(group))


def _refuse_changed(source: Source) -> None:
    """Raises BadFootage for a file that could never be read, Retryable for one that changed since it was planned."""
    if not source.sha256:
        raise BadFootage("unreadable", f"{source.name} cannot be read", fix="give permission to read it")
    if not is_unchanged(source):
        raise Retryable(f"{source.name} changed while the dataset was made", fix="run the same command again")


def _cut(workshop: Workshop, sandbox: Sandbox, source: Source, tally: Tally) -> Iterator[Sample]:
    """The clips of one video. It may turn out to be bad half-way: then what came before is kept, and it is counted."""
    order, path = workshop.order, source.path
    facts = sandbox.survey_footage(path)
    firsts = clip_starts(facts, order.frames, order.rules.scene_change)
    tally.looked["frames left over"] += facts.frames - len(firsts) * order.frames
    if not firsts:
        raise BadFootage("shorter than a clip", f"{source.name}: no scene of it is {order.frames / FPS:.2f} s long")
    sound = _sound(workshop, sandbox, path, facts)
    sidecar = _sidecar(path) if source.sidecar else ""
    for first in firsts:
        tally.looked["clips cut"] += 1
        film = Film(
            frames=_frames(workshop, sandbox, path, first),
            sound=None if sound is None else sound[first * PER_FRAME : (first + order.frames) * PER_FRAME],
            sidecar=sidecar,
        )
        known = {"source": source.name, "first_frame": first}
        sample = _captioned(workshop, f"{source.sha256[:24]}-{first:06d}", film, known, tally)
        if sample is not None:
            yield sample


def clip_starts(facts: FootageFacts, length: int, scene_change: float) -> list[int]:
    """First frames of the clips of `length` frames, none of which holds a cut, none overlapping."""
    cuts = [0, *(k + 1 for k, change in enumerate(facts.changes) if change >= scene_change), facts.frames]
    return [first for begin, end in pairwise(cuts) for first in range(begin, end - length + 1, length)]


def _frames(workshop: Workshop, sandbox: Sandbox, path: Path, first: int) -> Pixels:
    order, raw = workshop.order, workshop.scratch / "frames.rgb"
    sandbox.write_frames(path, raw, first=first, count=order.frames, width=order.width, height=order.height)
    try:
        return np.fromfile(raw, np.uint8).reshape(order.frames, order.height, order.width, 3)
    finally:
        raw.unlink()


def _sound(workshop: Workshop, sandbox: Sandbox, path: Path, facts: FootageFacts) -> Vector | None:
    if not facts.has_sound:
        return None
    wave = workshop.scratch / "sound.wav"
    try:
        return decode_sound(wave.read_bytes()) if sandbox.write_sound(path, wave, frames=facts.frames) else None
    finally:
        wave.unlink(missing_ok=True)


def _sidecar(path: Path) -> str:
    try:
        with sidecar_of(path).open("rb") as file:
            text = file.read(4 * _CAPTION_CHARS).decode("utf-8", "replace")
    except OSError:
        return ""
    return " ".join(text.split())[:_CAPTION_CHARS]


# -- both --------------------------------------------------------------------------------------------------------------


def _captioned(workshop: Workshop, key: str, film: Film, known: dict[str, Any], tally: Tally) -> Sample | None:
    order = workshop.order
    caption = workshop.team.captioner.caption(film).strip()[:_CAPTION_CHARS]
    if not caption:
        tally.dropped["no caption"] += 1
        return None
    facts = {
        **known,
        "caption": caption,
        "frames": order.frames,
        "fps": FPS,
        "width": order.width,
        "height": order.height,
        "sample_rate": SPEECH_RATE,
    }
    files = {
        "mp4": encode_film(film.frames, width=order.width, height=order.height, scratch=workshop.scratch),
        "json": as_json(facts),
        "txt": caption.encode(),
    }
    if film.sound is not None:
        files["flac"] = encode_sound(film.sound)
    return Sample(key=key, files=files)
