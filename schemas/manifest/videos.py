"""What only shows when the rows of one video are seen together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from schemas.manifest.cells import Fault
from schemas.manifest.row import ManifestRow
from schemas.manifest.wording import lines_of, shown
from schemas.problem import Code


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A row as one of the shots of its video."""

    row: ManifestRow
    size: tuple[int, int] | None
    """Width and height in pixels, defaults filled in; None where the row does not say a possible size."""
    is_named: bool
    """The row has a `video` cell."""


def video_faults(rows: Sequence[ManifestRow], member: Callable[[ManifestRow], Member]) -> dict[int, list[Fault]]:
    """{position of the row: what is wrong with it beside its siblings}."""
    videos: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in rows:
        videos[row.video].append(row)
    found: dict[int, list[Fault]] = defaultdict(list)
    for siblings in videos.values():
        if len(siblings) > 1:
            shots = [member(row) for row in siblings]
            for position, fault in (*_name_clashes(shots), *_same_order(shots), *_mixed_sizes(shots)):
                found[position].append(fault)
    return found


def _name_clashes(shots: Sequence[Member]) -> Iterator[tuple[int, Fault]]:
    """A row without a `video` cell is a video of its own, called by its id; no other row may take that name."""
    alone = [shot for shot in shots if not shot.is_named]
    if not alone:
        return
    name = shots[0].row.video
    where = lines_of([shot.row.line for shot in alone])
    for shot in shots:
        if shot.is_named:
            yield (
                shot.row.position,
                Fault(
                    code=Code.VIDEO_INVALID,
                    column="video",
                    message=f"video {shown(name)} is also the row_id of {where}, whose video cell is empty:"
                    " one video or two?",
                    fix="write the same video name into both rows, or choose another name",
                ),
            )


def _same_order(shots: Sequence[Member]) -> Iterator[tuple[int, Fault]]:
    by_order: dict[int, list[Member]] = defaultdict(list)
    for shot in shots:
        if shot.row.shot_order is not None:
            by_order[shot.row.shot_order].append(shot)
    for order, same in by_order.items():
        if len(same) == 1:
            continue
        lines = [shot.row.line for shot in same]
        for shot in same:
            others = lines_of(lines, apart_from=shot.row.line)
            yield (
                shot.row.position,
                Fault(
                    code=Code.SHOT_DUPLICATE,
                    column="shot",
                    message=f"shot {order} of video {shown(shot.row.video)} is also on {others}",
                    fix="number the shots of a video differently, or leave all shot cells empty for file order",
                ),
            )


def _mixed_sizes(shots: Sequence[Member]) -> Iterator[tuple[int, Fault]]:
    sized = [shot for shot in shots if shot.size is not None]
    if len({shot.size for shot in sized}) < 2:
        return
    first = sized[0]
    for shot in sized:
        if shot.size != first.size:
            yield (
                shot.row.position,
                Fault(
                    code=Code.VIDEO_SIZE_MIXED,
                    column="width",
                    message=f"the shot is {_spoken(shot.size)}, but line {first.row.line} of the same video"
                    f" {shown(shot.row.video)} is {_spoken(first.size)}",
                    fix="give all shots of a video the same width and height",
                ),
            )


def _spoken(size: tuple[int, int] | None) -> str:
    return "x".join(map(str, size or ()))
