"""Clips and original speech become one video, in step to the sample.

The picture is copied packet by packet where all clips were encoded alike, and encoded again only for a crossfade or for
clips that differ. The sound is never the clips' but the authors' own: each shot's speech, resampled once, padded to its
shot's exact length and encoded once over the whole video.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg

from media.blend import encode_again
from media.encode import PLAIN_FILE, TICKS_PER_FRAME
from media.ffmpeg import FfmpegFailed, file_url, guarded, run_ffmpeg
from media.files import replacing
from media.output_gate import BadOutput
from media.probe import UnreadableVideo, VideoFacts, probe_video
from media.soundtrack import SAMPLES_PER_PICTURE, ShotSound, heard, level, raw_input, write_soundtrack
from schemas.errors import InvalidInput
from schemas.model_spec import FPS

_READ_AHEAD = {"thread_queue_size": 64}
"""Packets that ffmpeg reads ahead of each of two inputs, in threads of their own: with its 8, a short packet of sound
each time wakes another thread, and a long video takes a sixth longer."""


@dataclass(frozen=True, kw_only=True)
class ShotTake:
    """One shot of a video as it was rendered: its clips in order, and the speech that lies over them."""

    clips: tuple[Path, ...]
    leads: tuple[int, ...]
    """Frames at each clip's head that overlap the clip before it; the first one's is 0."""
    frames: int
    """Length of the shot: the clips' frames without their leads."""
    speech: Path | None = None
    """The author's own file; None: silence."""
    speech_samples: int = 0
    """Decoded length of `speech` when it was checked."""
    speech_rate: int = 0


@dataclass(frozen=True, kw_only=True)
class JoinFacts:
    """What a join made."""

    frames: int
    duration_s: float
    sound_samples: int
    """Per channel, at 48 kHz."""
    sound_channels: int
    reencoded: bool
    """True when the picture was encoded a second time; `reason` says why."""
    reason: str = ""
    loudness_lufs: float | None = None
    """Measured before levelling; None when the sound was left as it is."""


def join(
    takes: Sequence[ShotTake],
    out: Path,
    *,
    width: int,
    height: int,
    crossfade_frames: int | None = None,
    loudness_lufs: float | None = None,
    scratch: Path,
    timeout_s: float,
) -> JoinFacts:
    """Make the video of these shots; `out` appears whole or not at all.

    Shots follow each other in hard cuts. Inside a shot, a clip's lead is blended with the end of the clip before it,
    over `crossfade_frames` frames at most; the rest of a lead is dropped. None blends whole leads, 0 none.
    `loudness_lufs` levels the sound as a whole to that integrated loudness (EBU R 128).

    Raises:
        BadOutput: a clip is missing, cannot be read, or has another length or rate than its take says.
        InvalidMedia: a speech does not decode, or is not the one that was checked.
        FfmpegFailed: ffmpeg ended badly or all together took longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    clips = _probe_all(takes)
    frames = sum(take.frames for take in takes)
    reason = _why_encode_again(takes, clips, width, height)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="join-") as folder, replacing(out) as part:
        work = Path(folder)
        pictures: Sequence[Path] = [path for path, _ in clips]
        if reason:
            again = work / "picture.mp4"
            encode_again(
                [(take.clips, take.leads) for take in takes],
                again,
                width=width,
                height=height,
                blend_frames=crossfade_frames,
                timeout_s=_left(deadline),
            )
            pictures = [again]
        shots = [_sound(take) for take in takes]
        channels, measured = _add_sound(pictures, shots, part, lufs=loudness_lufs, work=work, deadline=deadline)
        _check_length(part, frames)
    return JoinFacts(
        frames=frames,
        duration_s=frames / FPS,
        sound_samples=frames * SAMPLES_PER_PICTURE,
        sound_channels=channels,
        reencoded=bool(reason),
        reason=reason,
        loudness_lufs=measured,
    )


def _probe_all(takes: Sequence[ShotTake]) -> list[tuple[Path, VideoFacts]]:
    """Every clip with what it is, once their frames are known to add up."""
    if not takes:
        raise InvalidInput("there is nothing to join", fix="give at least one shot")
    facts_of = _facts({path for take in takes for path in take.clips})
    found, wrong = [], []
    for number, take in enumerate(takes, 1):
        if not take.clips or len(take.clips) != len(take.leads) or take.leads[0] != 0:
            raise InvalidInput(
                f"shot {number} has {len(take.clips)} clips and leads {take.leads}, expected one lead for each clip, "
                "the first one 0"
            )
        shown = -sum(take.leads)
        for path in take.clips:
            facts = facts_of[path]
            if isinstance(facts, UnreadableVideo):
                wrong.append(f"shot {number}: {facts.message}")
                continue
            if facts.fps != FPS:
                wrong.append(f"shot {number}: {path.name} has {facts.fps} frames per second, expected {FPS}")
            found.append((path, facts))
            shown += facts.frames
        if shown != take.frames and not wrong:
            wrong.append(f"shot {number}: its clips show {shown} frames, expected {take.frames}")
    if wrong:
        raise BadOutput("the video cannot be joined: " + "; ".join(wrong), fix="render the named clips again")
    return found


def _facts(paths: Collection[Path]) -> dict[Path, VideoFacts | UnreadableVideo]:
    """What each clip is, or why it cannot be read; two are read at once."""

    def look(path: Path) -> VideoFacts | UnreadableVideo:
        try:
            return probe_video(path)
        except UnreadableVideo as error:
            return error

    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(paths, pool.map(look, paths), strict=True))


def _why_encode_again(
    takes: Sequence[ShotTake], clips: Sequence[tuple[Path, VideoFacts]], width: int, height: int
) -> str:
    """Empty when the clips' packets can be copied one after the other."""
    if any(any(take.leads) for take in takes):
        return "crossfade"
    for path, facts in clips:
        if (facts.width, facts.height) != (width, height):
            return f"{path.name} is {facts.width}x{facts.height}, the video {width}x{height}"
        if (facts.codec, facts.pix_fmt, facts.start_s) != ("h264", "yuv420p", Fraction(0)):
            return f"{path.name} is {facts.codec} {facts.pix_fmt} from {float(facts.start_s):g} s on"
        if facts.parameters != clips[0][1].parameters:
            return f"{path.name} was encoded with other parameters than {clips[0][0].name}"
        if facts.duration_s != Fraction(facts.frames, FPS):
            return f"{path.name} lasts {float(facts.duration_s):g} s with {facts.frames} frames"
    return ""


def _sound(take: ShotTake) -> ShotSound:
    return ShotSound(frames=take.frames, speech=take.speech, samples=take.speech_samples, sample_rate=take.speech_rate)


def _add_sound(
    pictures: Sequence[Path],
    shots: Sequence[ShotSound],
    part: Path,
    *,
    lufs: float | None,
    work: Path,
    deadline: float,
) -> tuple[int, float | None]:
    """Make `part` of the pictures and the shots' sound; its channels, and its loudness before it was levelled."""
    if lufs is None:
        with heard(shots) as sound:
            # Decoded while ffmpeg encodes what it has of it already.
            _mux(pictures, sound.portions(), sound.channels, part, work, timeout_s=_left(deadline))
        return sound.channels, None
    whole = write_soundtrack(shots, work / "sound.f32")
    levelled, measured = level(whole, work / "levelled.f32", lufs, timeout_s=_left(deadline))
    _mux(pictures, levelled.path, whole.channels, part, work, timeout_s=_left(deadline))
    return whole.channels, measured


def _mux(
    pictures: Sequence[Path], sound: Path | Iterator[bytes], channels: int, part: Path, work: Path, *, timeout_s: float
) -> None:
    """Copy the picture, encode the sound (a file of it, or its portions), index in front.

    The list names links of our own making beside it, so that no name of a clip is ever parsed. The sound stays in
    step because its encoder's delay is written as an edit list, which presents both streams from 0.
    """
    lines = ["ffconcat version 1.0"]
    for number, path in enumerate(pictures):
        name = f"clip-{number:05d}.mp4"
        _lend(path, work / name)
        lines.append(f"file {name}")
    listing = work / "clips.ffconcat"
    listing.write_text("\n".join(lines) + "\n")
    video = ffmpeg.input(file_url(listing), safe=1, **_READ_AHEAD, **guarded("concat", "mov")).video
    feed = None if isinstance(sound, Path) else sound
    audio = raw_input(file_url(sound) if isinstance(sound, Path) else "pipe:0", channels, **_READ_AHEAD).audio
    output = {
        **PLAIN_FILE,
        "c:v": "copy",
        "c:a": "aac",
        "b:a": "128k" if channels == 1 else "192k",
        "flags:a": "+bitexact",
        "movflags": "+faststart",
        "video_track_timescale": FPS * TICKS_PER_FRAME,
        "threads": 1,
    }
    run_ffmpeg(ffmpeg.output(video, audio, file_url(part), **output).get_args(), timeout_s=timeout_s, feed=feed)


def _lend(clip: Path, name: Path) -> None:
    """The clip under another name: a link, or a copy where the file system has no links, as on most memory sticks."""
    try:
        name.symlink_to(clip.absolute())
    except OSError:
        shutil.copyfile(clip, name)


def _check_length(part: Path, frames: int) -> None:
    """A copy that lost or invented a frame must never be renamed into place."""
    facts = probe_video(part)
    if facts.frames != frames or facts.duration_s != Fraction(frames, FPS):
        raise BadOutput(
            f"the joined picture has {facts.frames} frames in {float(facts.duration_s):g} s, expected {frames}",
            fix="render the clips again",
        )


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise FfmpegFailed("joining took longer than it may", fix="look whether the machine is overloaded")
    return left
