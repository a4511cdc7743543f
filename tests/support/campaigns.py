"""Campaigns in a ledger, brought to chosen ends without rendering: real leases, real files in a real store."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
from PIL import Image

from schemas.attempt import Failure
from schemas.campaign import CampaignSettings, ManifestRef
from schemas.clip import Clip, Publication
from schemas.digest import sha256_hex
from schemas.lease import Lease, LeaseKind, WorkerIdentity
from schemas.manifest.parse import parse_manifest
from schemas.manifest.rows import check_rows
from schemas.model_spec import FPS, HUMO_1_7B, PATTERN, engine_digest
from schemas.object_ref import ObjectRef
from schemas.planning import RenderSetup, RowMedia, plan_rows
from schemas.settings import Limits
from schemas.shot import Picture
from schemas.states import CampaignState, Ending
from schemas.submission import Submission
from storage.ledger.protocol import Ledger
from storage.objects import layout
from storage.objects.protocol import ObjectStore
from storage.objects.verified import put_input

SETTINGS = CampaignSettings(model=HUMO_1_7B.name, engine=PATTERN.name, duration=1, width=256, height=256)
WIDTH, HEIGHT = 160, 90


@dataclass(frozen=True)
class Stage:
    """One ledger and one store in which campaigns are played through."""

    ledger: Ledger
    store: ObjectStore

    def submit(
        self, data: bytes, *, name: str = "spring", mapping: Mapping[str, str] | None = None, base: str = "/sheets"
    ) -> str:
        """A sheet of text+image rows as a running campaign; its id. Bad rows go in as bad rows."""
        setup = RenderSetup(
            settings=SETTINGS, model=HUMO_1_7B, engine=PATTERN, model_digest=engine_digest(PATTERN, HUMO_1_7B)
        )
        parsed = parse_manifest(data, name=f"{name}.csv", limits=Limits(), mapping=mapping or {})
        checked = check_rows(parsed, settings=SETTINGS, model=HUMO_1_7B, limits=Limits())
        face = Picture(object=put_input(self.store, jpeg(7), "image/jpeg"), width=WIDTH, height=HEIGHT)
        media = {row.position: RowMedia(images=(face,) * len(row.images)) for row in checked.rows}
        manifest = ManifestRef(
            object=put_input(self.store, data, "text/csv"),
            name=f"{name}.csv",
            encoding=parsed.encoding,
            delimiter=parsed.delimiter,
            line_end=parsed.line_end,
            columns=parsed.columns,
            rows=len(checked.rows),
            base=base,
        )
        rows = plan_rows(checked.rows, media, setup)
        report = self.ledger.submit(Submission(name=name, settings=SETTINGS, manifest=manifest, rows=rows))
        if self.ledger.campaign(report.campaign_id).state is CampaignState.PLANNED:
            self.ledger.set_state(report.campaign_id, CampaignState.RUNNING)
        return report.campaign_id

    def play(self, campaign_id: str, *, failing: Mapping[str, str] | None = None, at_most: int = 1_000_000) -> None:
        """Render and publish what can be; rows in `failing` {row id: message} end badly, blamed on the row."""
        worker = self.render(campaign_id, failing=failing, at_most=at_most)
        while lease := self.ledger.claim(worker, LeaseKind.JOIN, ttl=60):
            self.ledger.checking(lease)
            self.ledger.publish(lease, self.publication(lease))

    def render(
        self, campaign_id: str, *, failing: Mapping[str, str] | None = None, at_most: int = 1_000_000
    ) -> WorkerIdentity:
        """As `play`, without the joins; who did it."""
        pool = f"{PATTERN.name}/{HUMO_1_7B.name}/1"
        worker = WorkerIdentity(worker="worker-1", pool=pool, campaign_id=campaign_id)
        done = 0
        while done < at_most and (lease := self.ledger.claim(worker, LeaseKind.RENDER, ttl=60)):
            assert lease.job is not None
            message = (failing or {}).get(lease.job.row_id)
            if message is not None:
                failure = Failure.of(Ending.BAD_INPUT, message)
                self.ledger.fail(lease, failure, device_s=1.5)
            else:
                self.ledger.complete(lease, self._clip(lease), device_s=2.5)
            done += 1
        return worker

    def _clip(self, lease: Lease) -> Clip:
        assert lease.job is not None
        data = lease.attempt_id.encode()
        key = layout.clip_key(lease.job.render_key, lease)
        self.store.put_bytes(key, data, media_type="video/mp4")
        return Clip(
            render_key=lease.job.render_key,
            object=_ref(key, data, "video/mp4"),
            frames=lease.job.request.keep_frames,
            fps=FPS,
            width=256,
            height=256,
            attempt_id=lease.attempt_id,
        )

    def publication(self, lease: Lease) -> Publication:
        """A finished video of that lease, stored."""
        hue = sum(lease.video_id.encode()) % 8
        stills = tuple(
            self._put(layout.still_key(lease, number), jpeg(hue + number), "image/jpeg") for number in (1, 2, 3)
        )
        return Publication(
            video=self._put(layout.video_key(lease), mp4(hue), "video/mp4"),
            poster=self._put(layout.poster_key(lease), jpeg(hue), "image/jpeg"),
            stills=stills,
            frames=FPS,
            duration_s=1.0,
            width=WIDTH,
            height=HEIGHT,
            attempt_id=lease.attempt_id,
        )

    def _put(self, key: str, data: bytes, media_type: str) -> ObjectRef:
        self.store.put_bytes(key, data, media_type=media_type)
        return _ref(key, data, media_type)


def _ref(key: str, data: bytes, media_type: str) -> ObjectRef:
    return ObjectRef(key=key, sha256=sha256_hex(data), size=len(data), media_type=media_type)


def picture(hue: int) -> Image.Image:
    """A soft gradient in one of twelve colours."""
    x, y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    hues = np.full((HEIGHT, WIDTH), hue % 12 * 21, np.uint8)
    planes = [hues, (150 - 60 * y).astype(np.uint8), (120 + 110 * x).astype(np.uint8)]
    return Image.merge("HSV", [Image.fromarray(plane) for plane in planes]).convert("RGB")


@cache
def jpeg(hue: int) -> bytes:
    """A small picture."""
    data = io.BytesIO()
    picture(hue).save(data, "JPEG", quality=85)
    return data.getvalue()


@cache
def mp4(hue: int) -> bytes:
    """One second of H.264 and AAC at 25 fps, as a browser plays it."""
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        for number in range(FPS):
            frame = av.VideoFrame.from_image(picture(hue + number // 5))
            container.mux(video.encode(frame))
        tone = np.sin(np.arange(48_000) * 2 * np.pi * 220 / 48_000).astype(np.float32)[None, :] / 4
        for begin in range(0, 48_000, 1024):
            block = av.AudioFrame.from_ndarray(tone[:, begin : begin + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts = 48_000, begin
            container.mux(sound.encode(block))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return data.getvalue()
