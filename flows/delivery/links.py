"""Where a video's files are: names in the folder, and links to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flows.delivery.collect import Collected, DeliveredVideo
from flows.delivery.names import file_stems
from flows.delivery.sheets import VideoLinks
from schemas.object_ref import ObjectRef
from schemas.states import VideoState
from storage.objects.protocol import ObjectStore

PICTURES = "gallery/pictures"


@dataclass(frozen=True, kw_only=True)
class Files:
    """Links to one video's files: relative to the folder, or whole addresses; empty where there is none."""

    video: str = ""
    poster: str = ""
    stills: tuple[str, ...] = ()


def stems_of(collected: Collected) -> dict[str, str]:
    """{video id: file name without suffix} of every video, shown or not, so that a name never moves on."""
    return file_stems({video_id: video.name for video_id, video in collected.videos.items()})


def local_files(collected: Collected, stems: Mapping[str, str]) -> dict[str, Files]:
    """Names in the folder by video id; what a person has yet to look at lies apart from what is published."""
    return {video_id: _local(video, stems[video_id]) for video_id, video in _shown(collected).items()}


def _local(video: DeliveredVideo, stem: str) -> Files:
    folder = "videos" if video.state is VideoState.PUBLISHED else "review"
    stills = video.publication.stills if video.publication else ()
    return Files(
        video=f"{folder}/{stem}.mp4",
        poster=f"{PICTURES}/{stem}.jpg",
        stills=tuple(f"{PICTURES}/{stem}.{number}.jpg" for number in range(1, len(stills) + 1)),
    )


def objects_by_name(collected: Collected, files: Mapping[str, Files]) -> dict[str, ObjectRef]:
    """What has to lie in the folder under which name; pictures first, they are small."""
    pictures: dict[str, ObjectRef] = {}
    videos: dict[str, ObjectRef] = {}
    for video_id, video in _shown(collected).items():
        names, publication = files[video_id], video.publication
        if publication:
            pictures[names.poster] = publication.poster
            pictures.update(zip(names.stills, publication.stills, strict=True))
            videos[names.video] = publication.video
    return pictures | videos


def presigned_files(collected: Collected, store: ObjectStore, *, expires_s: int) -> dict[str, Files]:
    """Links that work anywhere until they expire. They hold a right: nobody keeps them but the exported folder.

    Raises:
        Refused: the store has no such links.
    """
    found = {}
    for video_id, video in _shown(collected).items():
        if video.publication:
            found[video_id] = Files(
                video=store.presign(video.publication.video.key, expires_s=expires_s),
                poster=store.presign(video.publication.poster.key, expires_s=expires_s),
                stills=tuple(store.presign(still.key, expires_s=expires_s) for still in video.publication.stills),
            )
    return found


def sheet_links(
    collected: Collected, store: ObjectStore, files: Mapping[str, Files], *, presigned: bool
) -> dict[str, VideoLinks]:
    """What results.csv says: a presigned link, an `s3://` address, or a path beside the sheet; only of what is
    published.
    """
    found = {}
    for video_id, video in collected.videos.items():
        if video.state is VideoState.PUBLISHED and video.publication:
            places = files[video_id]
            if not presigned and store.url.startswith("s3:"):
                found[video_id] = VideoLinks(
                    video=store.public_location(video.publication.video.key),
                    poster=store.public_location(video.publication.poster.key),
                )
            else:
                found[video_id] = VideoLinks(video=places.video, poster=places.poster)
    return found


def _shown(collected: Collected) -> dict[str, DeliveredVideo]:
    return {video_id: video for video_id, video in collected.videos.items() if video.publication}
