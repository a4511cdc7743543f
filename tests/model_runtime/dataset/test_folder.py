"""Any folder of videos: real files by ffmpeg through the real sandbox, with seeing and hearing of the test's own.

Who is seen are discs of one colour each before grounds of another; a disc's mouth opens with the loudness of the tone.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageDraw

from media.ffmpeg import ffmpeg_binary
from media.footage import FootageFacts
from model_runtime.dataset.clips import clip_starts
from model_runtime.dataset.colours import behind, person_box, worn
from model_runtime.dataset.films import PER_FRAME, decode_film
from model_runtime.dataset.plain import NoEnhancer, SidecarCaptioner
from model_runtime.dataset.seams import About, Box, Film, Person, Picture, SyncScore, Team, Vector
from model_runtime.dataset.sources import SourceFolder, grouped
from model_runtime.dataset.workshop import Workshop
from schemas.dataset import DatasetOrder, Step, read_order
from tests.support.datasets import by_convention, run_steps, workshop_of

SIZE, FRAMES, RATE = (96, 64), 17, 44_100
DISC = {"anna": (250, 30, 30), "ben": (30, 30, 250)}


def drawn(who: str, ground: tuple[int, int, int], *, x: float, opening: float) -> Image.Image:
    image = Image.new("RGB", SIZE, ground)
    draw = ImageDraw.Draw(image)
    draw.ellipse((x - 11, 16, x + 11, 38), fill=DISC[who])
    draw.rectangle((x - 4, 30, x + 4, 30 + round(6 * opening)), fill=(0, 0, 0))
    return image


def film(path: Path, who: str, ground: tuple[int, int, int], *, seconds: float = 1.4, late_s: float = 0.0) -> None:
    """At 30 frames a second, the tone of 440 Hz swelling five times in two seconds, as the mouth does."""
    count = int(seconds * 30)
    frames = b"".join(drawn(who, ground, x=40 + 8 * k / count, opening=swell(k / 30)).tobytes() for k in range(count))
    time = np.arange(int(seconds * RATE)) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * time) * np.array([swell(t - late_s) for t in time])
    wave = path.with_suffix(".wav")
    soundfile.write(wave, tone, RATE)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE[0]}x{SIZE[1]}", "-r", "30", "-i", "-"]
    codecs = ["-c:v", "libx264", "-crf", "10", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"]
    command = [ffmpeg_binary(), "-v", "error", "-y", *raw, "-i", str(wave), *codecs, str(path)]
    subprocess.run(command, input=frames, check=True, timeout=60)
    wave.unlink()


def swell(time: float) -> float:
    return max(0.0, float(np.sin(2 * np.pi * 2.5 * time)) * (1 + 0.5 * float(np.sin(2 * np.pi * 0.9 * time))) / 1.5)


class Discs:
    """Whatever is nearly of one of the two colours is a face."""

    about = About(name="discs", version="1")
    same_person = 0.95

    def people(self, picture: Picture) -> tuple[Person, ...]:
        found = []
        height, width = picture.pixels.shape[:2]
        for colour in DISC.values():
            near = np.abs(picture.pixels.astype(int) - colour).sum(-1) < 120
            rows, columns = np.nonzero(near)
            if len(rows) > 50:
                face = Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                shown = person_box(face, width, height)
                clothes, ground = worn(picture.pixels, face), behind(picture.pixels, face)
                found.append(Person(face=face, shown=shown, score=1, pose=None, clothes=clothes, background=ground))
        return tuple(found)

    def embed(self, picture: Picture, person: Person) -> Vector:
        face = person.face
        inside = picture.pixels[int(face.top) : int(face.bottom), int(face.left) : int(face.right)]
        middle = np.median(inside.reshape(-1, 3), axis=0).astype(np.float32)
        return np.asarray(middle / np.linalg.norm(middle), np.float32)


class Mouths:
    """Darkness inside the face against loudness, lag by lag."""

    about = About(name="mouths", version="1")
    min_confidence = 0.7

    def score(self, film: Film) -> SyncScore:
        assert film.boxes is not None
        assert film.sound is not None
        shown = []
        for frame, box in zip(film.frames, film.boxes[0].astype(int), strict=True):
            shown.append(float((frame[box[1] : box[3], box[0] : box[2]].max(-1) < 60).mean()))
        heard = np.sqrt((film.sound.reshape(-1, PER_FRAME) ** 2).mean(1))
        lags = {}
        for lag in range(-5, 6):
            first = np.array(shown)[max(0, -lag) : len(shown) - max(0, lag)]
            second = heard[max(0, lag) : len(heard) - max(0, -lag)]
            lags[lag] = float(np.corrcoef(first, second)[0, 1])
        best = max(lags, key=lambda lag: lags[lag])
        return SyncScore(best, lags[best])


@dataclass
class Films:
    """A folder of videos and what became of it."""

    shop: Workshop
    manifests: dict[Step, dict[str, object]]
    folder: Path

    def samples(self, step: Step) -> list[tuple[str, dict[str, bytes]]]:
        paths = sorted(self.shop.shelf(step).folder.glob("*.tar"))
        return [sample for path in paths for sample in by_convention(path)]


def order_of(folder: Path) -> DatasetOrder:
    return read_order(
        {
            "name": "films",
            "source": {"kind": "folder", "videos": str(folder)},
            "frames": FRAMES,
            "width": 96,
            "height": 64,
            "per_shard": 4,
            # Never made: the team is the test's own.
            "adapters": dict.fromkeys(("captioner", "detector", "embedder", "scorer", "enhancer"), "world"),
            # All discs wear the ground.
            "rules": {"differ": ["background"]},
        }
    )


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    folder = tmp_path_factory.mktemp("films")
    (folder / "talks").mkdir()
    film(folder / "talks" / "anna green.mp4", "anna", (20, 160, 40))
    film(folder / "anna-grey.mp4", "anna", (120, 120, 120), late_s=0.12)
    film(folder / "ben.mp4", "ben", (200, 200, 20), seconds=0.75)
    film(folder / "silent-of-captions.mp4", "ben", (20, 120, 120), seconds=0.75)
    for name in ("talks/anna green", "anna-grey", "ben", "twin"):
        (folder / f"{name}.txt").write_text(f"A disc of {name}\n talks.", encoding="utf-8")
    shutil.copy(folder / "ben.mp4", folder / "twin.mp4")
    whole = (folder / "ben.mp4").read_bytes()
    (folder / "cut-off.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "words.mp4").write_text("no video at all")
    (folder / "list.mkv").write_text("ffconcat version 1.0\nfile ben.mp4\n")
    (folder / "notes.pdf").write_text("not looked at")
    order = order_of(folder)
    captioner, enhancer = SidecarCaptioner(order), NoEnhancer(order)
    team = Team(captioner=captioner, detector=Discs(), embedder=Discs(), scorer=Mouths(), enhancer=enhancer)
    shop = workshop_of(order, tmp_path_factory.mktemp("out"), team)
    return Films(shop=shop, manifests=run_steps(shop), folder=folder)


def test_what_is_no_video_or_has_no_caption_is_counted(films: Films) -> None:
    """By reason, and it stops nobody else: eight files came, of which four can be cut."""
    manifest = films.manifests[Step.CLIPS]
    assert manifest["came"] == 8
    assert manifest["dropped"] == {"no caption": 1, "no video": 2, "same video twice": 1, "unreadable": 1}
    # 1.4 s are 35 frames and hold two clips of 17, 0.75 s hold one.
    assert manifest["samples"] == 2 + 2 + 1
    assert manifest["looked"] == {"clips cut": 6, "frames left over": 35 + 35 + 19 + 19 - 6 * 17}


def test_clips_are_25_frames_a_second_with_16_khz_beside_them(films: Films) -> None:
    """Resampled from 30 and 44.1 kHz; the caption is the text that lay beside the video."""
    for key, files in films.samples(Step.CLIPS):
        said = json.loads(files["json"])
        assert decode_film(files["mp4"], films.shop.scratch).shape == (FRAMES, SIZE[1], SIZE[0], 3)
        sound, rate = soundfile.read(BytesIO(files["flac"]))
        assert (len(sound), rate) == (FRAMES * 640, 16_000)
        assert said["caption"] == f"A disc of {said['source'].removesuffix('.mp4')} talks."
        assert key.endswith(f"-{said['first_frame']:06d}")


def test_pictures_and_sound_of_a_clip_belong_together(films: Films) -> None:
    """The mouth in a clip is open when the tone in it is loud: neither was moved against the other."""
    for _, files in films.samples(Step.CLIPS):
        said = json.loads(files["json"])
        sound, _ = soundfile.read(BytesIO(files["flac"]), dtype="float32")
        heard = np.sqrt((sound.reshape(-1, PER_FRAME) ** 2).mean(1)) * np.sqrt(2) / 0.5
        late = 0.12 if "grey" in said["source"] else 0.0
        wanted = [swell((said["first_frame"] + k + 0.5) / 25 - late) for k in range(FRAMES)]
        assert np.corrcoef(heard, wanted)[0, 1] > 0.97


def test_references_come_from_other_grounds_and_strangers_never(films: Films) -> None:
    """Anna's come from her other video, not from the other clip of the same one; Ben has nobody."""
    manifest = films.manifests[Step.REFERENCES]
    assert manifest["dropped"] == {"no reference": 1}
    sources = {key: json.loads(files["json"])["source"] for key, files in films.samples(Step.CLIPS)}
    kept = films.samples(Step.REFERENCES)
    assert {json.loads(files["json"])["source"] for _, files in kept} == {"talks/anna green.mp4", "anna-grey.mp4"}
    for _, files in kept:
        said = json.loads(files["json"])
        assert {sources[one["from"]] for one in said["references"]} == {
            "talks/anna green.mp4",
            "anna-grey.mp4",
        } - {said["source"]}
        with Image.open(BytesIO(files["ref0.png"])) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        red = np.abs(pixels - DISC["anna"]).sum(-1) < 120
        assert 0.05 < red.mean() < 0.6


def test_sound_that_comes_three_frames_late_is_dropped(films: Films) -> None:
    """The other film is kept, with its score."""
    manifest = films.manifests[Step.SPEECH]
    assert manifest["dropped"] == {"out of sync": 2}
    for _, files in films.samples(Step.SPEECH):
        said = json.loads(files["json"])
        assert said["source"] == "talks/anna green.mp4"
        assert abs(said["sync"]["offset"]) <= 1


def test_a_new_video_leaves_the_other_shards_alone(tmp_path: Path) -> None:
    """Which videos share a shard is decided by their content, not by their place in a list."""

    def groups(folder: Path) -> set[tuple[str, ...]]:
        sources = SourceFolder(folder, (".mp4",), tmp_path / "memory.json", "videos").files()
        return {tuple(one.sha256 for one in group) for group in grouped(sources, 2)}

    folder = tmp_path / "copy"
    folder.mkdir()
    for number in range(14):
        (folder / f"v{number}.mp4").write_text(f"content {number}")
    before = groups(folder)
    (folder / "a-new-one.mp4").write_text("new content")
    after = groups(folder)
    assert len(before - after) <= 1
    assert sum(len(group) for group in after) == 15


def test_clips_never_hold_a_cut() -> None:
    """They begin after it."""
    changes = [0.0] * 59
    changes[9] = changes[40] = 0.5
    facts = FootageFacts(frames=60, width=64, height=64, changes=tuple(changes), has_sound=False)
    assert clip_starts(facts, 9, 0.16) == [0, 10, 19, 28, 41, 50]
