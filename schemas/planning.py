"""From checked rows to shots and render jobs: pure, so that a plan on screen is the plan that runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.campaign import CampaignSettings
from schemas.cutting import Cut, cut
from schemas.job import RenderJob, RenderRequest, pool_name
from schemas.manifest.rows import ManifestRow
from schemas.model_spec import FPS, SAMPLES_PER_FRAME, EngineSpec, ModelSpec
from schemas.object_ref import unchecked
from schemas.problem import RowProblem
from schemas.shot import Picture, Shot, Speech, default_seed
from schemas.submission import PlannedRow


class RowMedia(NamedTuple):
    """What the media check found behind one row's references, in the row's order."""

    images: tuple[Picture, ...] = ()
    speech: Speech | None = None
    envelope: tuple[float, ...] = ()
    """Loudness of the speech in dB, one value per 25-fps frame."""
    problems: tuple[RowProblem, ...] = ()


_NO_MEDIA = RowMedia()


@dataclass(frozen=True, kw_only=True)
class RenderSetup:
    """Which engine renders which model with which settings: what a plan needs besides the rows."""

    settings: CampaignSettings
    model: ModelSpec
    engine: EngineSpec
    model_digest: str

    @property
    def pool(self) -> str:
        return pool_name(engine=self.engine.name, model=self.model.name, ranks=self.settings.ranks)


def plan_rows(rows: Sequence[ManifestRow], media: Mapping[int, RowMedia], setup: RenderSetup) -> tuple[PlannedRow, ...]:
    """Every row in manifest order, valid or not; `media` is keyed by the row's position.

    Rows without an entry in `media` have no references that could be checked.
    """
    places = shot_positions(rows)
    return tuple(_plan_row(row, media.get(row.position, _NO_MEDIA), places[row.position], setup) for row in rows)


def shot_positions(rows: Iterable[ManifestRow]) -> dict[int, int]:
    """0-based place of each row inside its video: by the `shot` cell where there is one, else file order."""
    by_video: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in rows:
        by_video[row.video].append(row)
    places: dict[int, int] = {}
    for members in by_video.values():
        members.sort(key=lambda r: (r.shot_order if r.shot_order is not None else math.inf, r.position))
        places.update({row.position: place for place, row in enumerate(members)})
    return places


def _plan_row(row: ManifestRow, media: RowMedia, place: int, setup: RenderSetup) -> PlannedRow:
    problems = (*row.problems, *media.problems)
    shot = None if problems else make_shot(row, media, place, setup)
    return PlannedRow(
        row_id=row.row_id,
        line=row.line,
        position=row.position,
        byte_start=row.byte_start,
        byte_end=row.byte_end,
        video=row.video,
        problems=problems,
        shot=shot,
        jobs=make_jobs(shot, media.envelope, setup) if shot else (),
    )


def make_shot(row: ManifestRow, media: RowMedia, place: int, setup: RenderSetup) -> Shot:
    """A valid row with campaign defaults and the model's own filled in."""
    settings, model = setup.settings, setup.model
    frames = media.speech.frames if media.speech else silent_frames(row.duration or settings.duration, model)
    seed = row.seed if row.seed is not None else settings.seed
    return unchecked(
        Shot,
        row_id=row.row_id,
        video=row.video,
        position=place,
        mode=row.mode,
        prompt=row.prompt,
        negative_prompt=row.negative_prompt or settings.negative_prompt or model.negative_prompt,
        seed=default_seed(row.row_id) if seed is None else seed,
        width=row.width or settings.width or model.width,
        height=row.height or settings.height or model.height,
        frames=frames,
        images=media.images,
        speech=media.speech,
        priority=row.priority if row.priority is not None else settings.priority,
        not_before=row.not_before,
        consent_ref=row.consent_ref,
    )


def silent_frames(duration: float | None, model: ModelSpec) -> int:
    """Frames of a shot without speech: ceil(seconds x 25), by default the model's longest clip."""
    if duration is None:
        return model.max_frames
    # A duration typed as 3.88 must not become 98 frames because 3.88 * 25 is 97.00000000000001.
    return max(1, math.ceil(round(duration * FPS, 6)))


def make_jobs(shot: Shot, envelope: Sequence[float], setup: RenderSetup) -> tuple[RenderJob, ...]:
    """The clips of a shot. Their kept frames, leads not counted, sum to `shot.frames`."""
    cuts = cut(
        shot.frames,
        envelope,
        max_frames=setup.model.max_frames,
        frame_step=setup.model.frame_step,
        crossfade_frames=setup.settings.crossfade_frames,
    )
    return tuple(_make_job(shot, index, len(cuts), piece, setup) for index, piece in enumerate(cuts))


def _make_job(shot: Shot, index: int, clips: int, piece: Cut, setup: RenderSetup) -> RenderJob:
    settings, model, engine = setup.settings, setup.model, setup.engine
    first = piece.start_frame - piece.lead_frames
    kept = piece.keep_frames + piece.lead_frames
    steps = settings.num_inference_steps or model.num_inference_steps
    request = unchecked(
        RenderRequest,
        engine=engine.name,
        engine_version=engine.version,
        model=model.name,
        model_digest=setup.model_digest,
        mode=shot.mode,
        prompt=shot.prompt,
        negative_prompt=shot.negative_prompt,
        images=tuple(picture.object for picture in shot.images),
        speech=shot.speech.normalised if shot.speech else None,
        start_sample=first * SAMPLES_PER_FRAME if shot.speech else 0,
        end_sample=(first + piece.num_frames) * SAMPLES_PER_FRAME if shot.speech else 0,
        start_frame=first,
        keep_frames=kept,
        num_frames=piece.num_frames,
        seed=shot.seed,
        width=shot.width,
        height=shot.height,
        num_inference_steps=steps,
        shift=float(model.shift),
        guidance_text=_first(settings.guidance_text, model.guidance_text),
        guidance_audio=_first(settings.guidance_audio, model.guidance_audio),
        guidance_image=_first(settings.guidance_image, model.guidance_image),
    )
    estimated = engine.seconds(
        model,
        width=shot.width,
        height=shot.height,
        num_frames=piece.num_frames,
        references=len(shot.images),
        mode=shot.mode,
        steps=steps,
    )
    return unchecked(
        RenderJob,
        row_id=shot.row_id,
        index=index,
        clips=clips,
        lead_frames=piece.lead_frames,
        request=request,
        estimated_s=float(estimated),
    )


def _first(value: float | None, default: float) -> float:
    return float(default if value is None else value)


@dataclass(frozen=True, kw_only=True)
class PlanSummary:
    """A plan in numbers, before anything is spent. Times are seconds."""

    rows: int
    valid_rows: int
    videos: int
    valid_videos: int
    clips: int
    seconds: float
    """Length of all finished videos together."""
    device_s: float
    """Estimated time on one device."""
    longest_video_s: float
    modes: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def summarise(rows: Iterable[PlannedRow]) -> PlanSummary:
    """Counts, lengths and estimated device time; one bad row keeps its whole video out."""
    videos: dict[str, list[PlannedRow]] = defaultdict(list)
    for row in rows:
        videos[row.video].append(row)
    good = [members for members in videos.values() if all(row.is_valid for row in members)]
    lengths = [sum(row.shot.frames for row in members if row.shot) / FPS for members in good]
    shots = [row.shot for members in good for row in members if row.shot]
    return PlanSummary(
        rows=sum(len(members) for members in videos.values()),
        valid_rows=len(shots),
        videos=len(videos),
        valid_videos=len(good),
        clips=sum(len(row.jobs) for members in good for row in members),
        seconds=sum(lengths),
        device_s=sum(job.estimated_s for members in good for row in members for job in row.jobs),
        longest_video_s=max(lengths, default=0.0),
        modes=_tally(shot.mode.value for shot in shots),
        sizes=_tally(f"{shot.width}x{shot.height}" for shot in shots),
    )


def _tally(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for word in words:
        counts[word] += 1
    return dict(sorted(counts.items()))
