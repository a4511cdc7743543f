"""The gallery: static pages that need no server, show any number of videos, and run nothing that a sheet says."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from flows.delivery.collect import BAD, SHOWN, Collected, DeliveredRow, DeliveredVideo, RowError, error_groups
from flows.delivery.links import Files
from flows.delivery.summary import WORDS, clock, final_line
from flows.delivery.templating import render, source
from schemas.states import VideoState

INDEX = "index.html"
PAGES = "gallery"
SEARCH = f"{PAGES}/search.js"

PAGE_VIDEOS = 200
PAGE_BYTES = 1_200_000
"""A page ends at whichever of the two comes first; the frame around the videos takes some 40 kB more."""

SHOTS_SHOWN = 12
ERRORS_SHOWN = 5
SEARCH_PROMPTS = 20_000
"""Videos up to which the search over all pages knows prompts, and not only names."""


@dataclass(frozen=True, kw_only=True)
class Still:
    """One frame of the strip; `at_s` seconds into the video."""

    href: str
    at_s: float


@dataclass(frozen=True, kw_only=True)
class Card:
    """One video as a page shows it. Text is as its author wrote it: the template escapes and isolates it."""

    anchor: str
    name: str
    state: VideoState
    shots: tuple[DeliveredRow, ...]
    more_shots: int
    errors: tuple[tuple[str, RowError], ...]
    """(row id, error)."""
    video: str
    poster: str
    stills: tuple[Still, ...]
    width: int
    height: int
    length: str
    facts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One file; `number` counts from 1, and the first page is the index."""

    name: str
    number: int
    cards: tuple[str, ...]
    first: int
    """1-based place of its first video."""


def gallery(collected: Collected, files: Mapping[str, Files]) -> Iterator[tuple[str, bytes]]:
    """`(file name, content)` of every page, the index last, so that nothing it links to is missing.

    `files` gives every shown video's files: links relative to the index, or addresses that work anywhere.
    """
    pages = paginate(collected, files)
    script = source("gallery.js")
    shared = {
        "collected": collected,
        "campaign": collected.campaign,
        "pages": pages,
        "chips": [
            (state, word, collected.states[state]) for state, word in WORDS.items() if collected.states.get(state)
        ],
        "groups": error_groups(collected),
        "line": final_line(collected),
        "updated": datetime.fromtimestamp(collected.collected_at, tz=UTC),
        "length": clock(sum(v.publication.duration_s for v in collected.videos.values() if v.publication)),
        "css": source("gallery.css"),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "has_failed": any(state in BAD for state in collected.states),
    }
    if len(pages) > 1:
        yield SEARCH, search_index(collected, pages)
    for page in reversed(pages):
        root = "" if page.name == INDEX else "../"
        yield page.name, render("gallery.html.j2", page=page, root=root, **shared).encode("utf-8", "replace")


def paginate(collected: Collected, files: Mapping[str, Files]) -> list[Page]:
    """Videos in the sheet's order, filled into pages by number and by size."""
    pages: list[Page] = []
    cards: list[str] = []
    size = first = 0

    def end_page() -> None:
        nonlocal cards, size, first
        number = len(pages) + 1
        pages.append(Page(name=page_name(number), number=number, cards=tuple(cards), first=first + 1))
        first += len(cards)
        cards, size = [], 0

    for place, video in enumerate(collected.videos.values(), start=1):
        root = "../" if pages else ""
        text = render_card(video, place, files.get(video.video_id, Files()), root)
        if cards and (len(cards) == PAGE_VIDEOS or size + len(text) > PAGE_BYTES):
            end_page()
            text = render_card(video, place, files.get(video.video_id, Files()), "../")
        cards.append(text)
        size += len(text.encode("utf-8", "replace"))
    if cards or not pages:
        end_page()
    return pages


def page_name(number: int) -> str:
    return INDEX if number == 1 else f"{PAGES}/page-{number:04d}.html"


def render_card(video: DeliveredVideo, place: int, files: Files, root: str) -> str:
    return render("card.html.j2", card=make_card(video, place, files, root))


def make_card(video: DeliveredVideo, place: int, files: Files, root: str) -> Card:
    publication = video.publication if video.state in SHOWN else None
    length = publication.duration_s if publication else 0.0
    found = [(row.row_id, error) for row in video.rows for error in row.errors]
    return Card(
        anchor=f"v{place}",
        name=video.name,
        state=video.state,
        shots=video.rows[:SHOTS_SHOWN],
        more_shots=max(0, len(video.rows) - SHOTS_SHOWN),
        errors=tuple(_distinct(found))[:ERRORS_SHOWN],
        video=_from(root, files.video),
        poster=_from(root, files.poster),
        stills=tuple(
            Still(href=_from(root, href), at_s=length * (2 * k + 1) / (2 * len(files.stills)))
            for k, href in enumerate(files.stills)
        ),
        width=publication.width if publication else 16,
        height=publication.height if publication else 9,
        length=f"{int(length // 60)}:{int(length % 60):02d}" if publication else "",
        facts=tuple(_facts(video)),
    )


def _from(root: str, href: str) -> str:
    """A relative link as seen from the page; a whole address stays."""
    return href if not href or "://" in href else f"{root}{quote(href)}"


def _distinct(found: Iterable[tuple[str, RowError]]) -> Iterator[tuple[str, RowError]]:
    """The rows of one video often repeat one error."""
    seen = set()
    for row_id, error in found:
        if error not in seen:
            seen.add(error)
            yield row_id, error


def _facts(video: DeliveredVideo) -> Iterator[str]:
    if video.publication:
        yield f"{video.publication.width}\u202f\u00d7\u202f{video.publication.height}"
    modes = list(dict.fromkeys(row.mode for row in video.rows if row.mode))
    if modes:
        yield "+".join(modes)
    seeds = list(dict.fromkeys(row.seed for row in video.rows if row.seed is not None))
    if len(seeds) == 1:
        yield f"seed {seeds[0]}"
    if attempts := sum(row.attempts for row in video.rows):
        yield f"{attempts} {'render' if attempts == 1 else 'renders'}"
    if video.device_s:
        yield f"{clock(video.device_s)} GPU time"
    if video.took_s is not None and video.publication:
        yield f"made in {clock(video.took_s)}"


def search_index(collected: Collected, pages: Sequence[Page]) -> bytes:
    """`[name, state, page, anchor, words]` of every video as a script that a page loads when it is asked to search.

    A script, because pages opened from a folder may load nothing else; only ASCII, and no `<`.
    """
    with_prompts = len(collected.videos) <= SEARCH_PROMPTS
    found = []
    ends = [page.first for page in pages[1:]]
    page = 0
    for place, video in enumerate(collected.videos.values(), start=1):
        if page < len(ends) and place >= ends[page]:
            page += 1
        found.append(
            [video.name[:100], video.state.value, pages[page].name, f"v{place}", _words(video) if with_prompts else ""]
        )
    return b"window.callsheetVideos=" + json.dumps(found, separators=(",", ":")).replace("<", "\\u003c").encode() + b";"


def _words(video: DeliveredVideo) -> str:
    ids = " ".join(row.row_id for row in video.rows[:SHOTS_SHOWN] if row.row_id != video.name)
    codes = " ".join(dict.fromkeys(error.code for row in video.rows for error in row.errors))
    prompt = video.rows[0].prompt[:60] if video.rows else ""
    return " ".join(filter(None, (ids, codes, prompt)))
