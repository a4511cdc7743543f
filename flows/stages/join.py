"""The join stage: clips in, one checked, uploaded and read-back video out. The ledger is not touched here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.stages.phases import JoinListener, JoinStep, silent
from media.join import JoinFacts, ShotTake, join
from media.output_gate import check_video
from media.poster import poster, stills
from schemas.clip import Clip, Publication
from schemas.edge import Edge
from schemas.errors import CallsheetError, Corrupted, NotFound
from schemas.job import RenderJob
from schemas.lease import Lease
from schemas.model_spec import FPS
from schemas.object_ref import ObjectRef
from schemas.settings import Settings
from schemas.shot import Shot
from storage.objects import layout
from storage.objects.protocol import ObjectStore
from storage.objects.verified import get_verified, put_verified
from storage.places import open_store_of, scratch_folder
from storage.scratch import ScratchFolder

POSTER_SIDE = 640
STILL_SIDE = 320


class ClipVanished(CallsheetError):
    """A clip that the ledger counts is gone from the store, or its bytes changed."""

    def __init__(self, render_key: str, why: str) -> None:
        super().__init__(why)
        self.render_key = render_key


@dataclass(frozen=True, kw_only=True)
class JoinOrder:
    """Everything a join needs, as references: it may run in another process or on another machine."""

    lease: Lease
    shots: tuple[Shot, ...]
    """In the video's order."""
    clips: tuple[tuple[RenderJob, Clip], ...]
    """In shot and clip order."""
    crossfade_frames: int
    loudness_lufs: float | None
    settings: Settings

    @property
    def frames(self) -> int:
        return sum(shot.frames for shot in self.shots)

    @property
    def deadline_s(self) -> float:
        """Five times what a join of this length takes on a slow disk and a busy core, at least two minutes."""
        return max(120.0, 5 * self.frames / FPS)


@dataclass(frozen=True, kw_only=True)
class FilmTools:
    """What a join does to files; a simulation gives others, which need no ffmpeg."""

    join: Callable[..., JoinFacts] = join
    check: Callable[..., object] = check_video
    poster: Callable[..., None] = poster
    stills: Callable[..., tuple[Path, ...]] = stills


def run_join(order: JoinOrder, listener: JoinListener = silent) -> Publication:
    """What an executor runs: `make_video` on the installation that the order's settings name.

    Raises:
        As `make_video`.
    """
    store = open_store_of(order.settings)
    with ScratchFolder(scratch_folder(order.settings), "join") as scratch:
        return make_video(order, store, scratch.folder, FilmTools(), listener)


def make_video(
    order: JoinOrder, store: ObjectStore, work: Path, tools: FilmTools, listener: JoinListener
) -> Publication:
    """Fetch the clips and the original speech into the folder `work`, join, check, upload, read back.

    Raises:
        ClipVanished: a clip cannot be had as the ledger says.
        media.output_gate.BadOutput: the joined file does not pass the checks.
        Retryable: the store is away.
    """
    video = work / "video.mp4"
    with _told(listener, JoinStep.FETCH):
        takes = _fetch_takes(store, order, work)
    with _told(listener, JoinStep.JOIN):
        facts = _join(tools, order, takes, video, work)
    with _told(listener, JoinStep.CHECK):
        _check(tools, order, video)
    with _told(listener, JoinStep.UPLOAD):
        pictures = _pictures(tools, video, work)
        return _upload(store, order, video, pictures, warnings=(facts.reason,) if facts.reencoded else ())


@contextmanager
def _told(listener: JoinListener, step: JoinStep) -> Iterator[None]:
    listener(step, Edge.BEFORE)
    yield
    listener(step, Edge.AFTER)


def _join(tools: FilmTools, order: JoinOrder, takes: Sequence[ShotTake], video: Path, work: Path) -> JoinFacts:
    first = order.shots[0]
    return tools.join(
        takes,
        video,
        width=first.width,
        height=first.height,
        crossfade_frames=order.crossfade_frames,
        loudness_lufs=order.loudness_lufs,
        scratch=work,
        timeout_s=order.deadline_s,
    )


def _check(tools: FilmTools, order: JoinOrder, video: Path) -> None:
    first = order.shots[0]
    tools.check(
        video,
        frames=order.frames,
        width=first.width,
        height=first.height,
        expect_sound=any(shot.speech for shot in order.shots),
    )


def _fetch_takes(store: ObjectStore, order: JoinOrder, work: Path) -> tuple[ShotTake, ...]:
    takes = []
    for number, shot in enumerate(order.shots):
        mine = [(job, clip) for job, clip in order.clips if job.row_id == shot.row_id]
        _refuse_gaps(shot, [job for job, _ in mine])
        paths = []
        for job, clip in mine:
            path = work / f"{number:03d}-{job.index:04d}.mp4"
            try:
                get_verified(store, clip.object, path)
            except (NotFound, Corrupted) as error:
                raise ClipVanished(clip.render_key, f"clip {job.index} of {shot.row_id}: {error.message}") from None
            paths.append(path)
        speech = None
        if shot.speech:
            speech = work / f"{number:03d}-speech"
            get_verified(store, shot.speech.original, speech)
        takes.append(
            ShotTake(
                clips=tuple(paths),
                leads=tuple(job.lead_frames for job, _ in mine),
                frames=shot.frames,
                speech=speech,
                speech_samples=shot.speech.samples if shot.speech else 0,
                speech_rate=shot.speech.sample_rate if shot.speech else 0,
            )
        )
    return tuple(takes)


def _refuse_gaps(shot: Shot, jobs: Sequence[RenderJob]) -> None:
    have = [job.index for job in jobs]
    want = list(range(jobs[0].clips)) if jobs else [0]
    if have != want:
        missing = sorted(set(want) - set(have))
        raise CallsheetError(f"shot {shot.row_id} lacks clips {missing} of {len(want)}; nothing was joined")


def _pictures(tools: FilmTools, video: Path, work: Path) -> tuple[Path, ...]:
    """The poster, then the stills."""
    poster_path = work / "poster.jpg"
    tools.poster(video, poster_path, max_side=POSTER_SIDE)
    return (poster_path, *tools.stills(video, work, count=3, max_side=STILL_SIDE))


def _upload(
    store: ObjectStore, order: JoinOrder, video: Path, pictures: Sequence[Path], *, warnings: tuple[str, ...]
) -> Publication:
    lease = order.lease
    poster_path, *still_paths = pictures
    still_refs: list[ObjectRef] = [
        put_verified(store, layout.still_key(lease, number), path, media_type="image/jpeg")
        for number, path in enumerate(still_paths, start=1)
    ]
    return Publication(
        poster=put_verified(store, layout.poster_key(lease), poster_path, media_type="image/jpeg"),
        stills=tuple(still_refs),
        # The video last: when it is there, its pictures are.
        video=put_verified(store, layout.video_key(lease), video, media_type="video/mp4"),
        frames=order.frames,
        duration_s=order.frames / FPS,
        width=order.shots[0].width,
        height=order.shots[0].height,
        attempt_id=lease.attempt_id,
        warnings=warnings,
    )
