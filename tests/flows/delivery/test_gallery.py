from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from flows.delivery import deliver
from flows.delivery.collect import Collected, DeliveredRow, DeliveredVideo, RowError, collect
from flows.delivery.gallery import INDEX, PAGE_VIDEOS, SEARCH, gallery
from flows.delivery.links import Files
from schemas.clip import Publication
from schemas.digest import sha256_hex
from schemas.object_ref import ObjectRef
from schemas.states import VideoState
from tests.support.campaigns import Stage

TWO_MB = 2 * 1024 * 1024
LINK = "https://objects.example.org/bucket/videos/{}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=" + "a" * 320


def many(stage: Stage, count: int, *, prompt: str = "A woman in a red coat speaks to the camera. " * 6) -> Collected:
    """A campaign of that many videos as it would be read from the ledger; every tenth has failed."""
    campaign = stage.ledger.campaign(stage.submit(b"row_id,prompt,image\na,A man speaks,a.png\n"))
    ref = ObjectRef(key="videos/x/y.mp4", sha256=sha256_hex(b""), size=1_000_000)
    publication = Publication(
        video=ref,
        poster=ref,
        stills=(ref, ref, ref),
        frames=100,
        duration_s=4.0,
        width=832,
        height=480,
        attempt_id="a",
    )
    error = RowError(code="BAD_OUTPUT", message="frames 3 to 80 do not move", fix="change the seed")
    videos = {}
    for number in range(count):
        bad = number % 10 == 9
        row = DeliveredRow(
            row_id=f"row-{number:05d}",
            line=number + 2,
            byte_start=0,
            byte_end=0,
            video_id=f"id-{number}",
            seed=number,
            attempts=1,
            device_s=30.0,
            prompt=f"{number} {prompt}",
            mode="TIA",
            errors=(error,) if bad else (),
        )
        videos[row.video_id] = DeliveredVideo(
            video_id=row.video_id,
            name=row.row_id,
            state=VideoState.FAILED if bad else VideoState.PUBLISHED,
            rows=(row,),
            publication=None if bad else publication,
            started_at=0.0,
            ended_at=60.0,
        )
    base = collect(stage.ledger, campaign)
    states = Counter(video.state for video in videos.values())
    rows = tuple(row for video in videos.values() for row in video.rows)
    return Collected(
        campaign=base.campaign, counts=base.counts, rows=rows, videos=videos, collected_at=0.0, states=states
    )


def presigned(collected: Collected) -> dict[str, Files]:
    return {
        video_id: Files(video=LINK.format(video_id), poster=LINK.format(video_id), stills=(LINK.format(video_id),) * 3)
        for video_id, video in collected.videos.items()
        if video.publication
    }


class Tags(HTMLParser):
    """Counts the elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.mark.parametrize("links", ["files", "presigned"])
def test_ten_thousand_videos_fill_pages_of_less_than_two_megabytes(stage: Stage, links: str) -> None:
    collected = many(stage, 10_000)
    files = (
        presigned(collected)
        if links == "presigned"
        else {
            video_id: Files(video=f"videos/{video.name}.mp4", poster=f"gallery/pictures/{video.name}.jpg")
            for video_id, video in collected.videos.items()
        }
    )
    pages = dict(gallery(collected, files))
    assert all(len(content) < TWO_MB for content in pages.values())
    cards = sum(content.count(b"<article ") for content in pages.values())
    assert cards == 10_000
    assert len(pages) >= 10_000 / PAGE_VIDEOS
    assert list(pages)[-1] == INDEX


def test_the_longest_prompts_still_fit(stage: Stage) -> None:
    pages = dict(gallery(many(stage, 300, prompt="<&>" * 1300), {}))
    assert all(len(content) < TWO_MB for content in pages.values())


def test_every_link_between_pages_leads_to_a_page(stage: Stage) -> None:
    pages = {name: content.decode() for name, content in gallery(many(stage, 2 * PAGE_VIDEOS + 1), {})}
    assert len([name for name in pages if name.endswith(".html")]) == 3
    for name, text in pages.items():
        if name == SEARCH:
            continue
        folder = "" if name == INDEX else "gallery/"
        for href in re.findall(r'href="([^"#]+\.html)"', text):
            target = re.sub(r"^gallery/\.\./", "", f"{folder}{href}")
            assert target in pages


def test_the_search_over_pages_knows_every_video_and_where_it_is(stage: Stage) -> None:
    pages = dict(gallery(many(stage, 2 * PAGE_VIDEOS + 1), {}))
    script = pages[SEARCH].decode("ascii")
    found = json.loads(script.removeprefix("window.callsheetVideos=").removesuffix(";"))
    assert len(found) == 2 * PAGE_VIDEOS + 1
    for name, state, page, anchor, words in found:
        text = pages[page].decode()
        assert f'id="{anchor}" data-state="{state}"' in text
        assert f"<bdi>{name}</bdi>" in text
        assert words


def test_nothing_is_loaded_from_anywhere_else(stage: Stage) -> None:
    (content,) = (content for _, content in gallery(many(stage, 5), {}))
    assert not re.findall(rb"(?:src|href)=\"(?:https?:)?//", content)
    assert b"<link" not in content


HOSTILE = (
    "</script><script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "<svg/onload=window.pwned=1>",
    "{{ 7*7 }} {% raw %} javascript:window.pwned=1",
    "\u202e\u2066 turned round",
    "<!--",
    "]]></style></title>",
)


def test_text_of_strangers_makes_no_element_and_no_attribute(stage: Stage, tmp_path: Path) -> None:
    quoted = [prompt.replace('"', '""') for prompt in HOSTILE]
    harmless = "row_id,prompt,image\n" + "".join(f"r{n},quiet,a.png\n" for n in range(len(HOSTILE)))
    # `{{ }}` would be a placeholder; a bad row shows its prompt all the same.
    hostile = "row_id,prompt,image\n" + "".join(f'r{n},"{prompt}",a.png\n' for n, prompt in enumerate(quoted))
    pages = []
    for name, sheet in (("quiet", harmless), ("loud <script>alert(1)</script>", hostile)):
        campaign = stage.submit(sheet.encode(), name=name)
        stage.play(campaign, failing={"r0": HOSTILE[0] if name != "quiet" else "quiet"})
        deliver(stage.ledger, stage.store, campaign, tmp_path / name[:5])
        pages.append(Tags((tmp_path / name[:5] / INDEX).read_text()))
    assert not any(name.startswith("on") for name, _ in pages[1].attributes)
    assert pages[1].tags["script"] == pages[0].tags["script"] == 1
    assert pages[1].tags["article"] == len(HOSTILE)
    assert set(pages[1].tags) <= set(pages[0].tags) | {"section", "ul", "li", "b", "span"}
    assert not any("\u202e" in value for _, value in pages[1].attributes)
