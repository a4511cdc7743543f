"""A campaign as its deliverables show it: every row and every video, read from the ledger in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schemas.campaign import Campaign
from schemas.clip import Publication
from schemas.errors import Retryable
from schemas.manifest.wording import visible
from schemas.problem import RowProblem
from schemas.states import Ending, VideoState
from schemas.status import Counts, RowStatus
from storage.ledger.protocol import Ledger

GOOD = frozenset({VideoState.PUBLISHED})
"""Their rows are finished."""

BAD = frozenset({VideoState.FAILED, VideoState.INVALID, VideoState.CANCELLED})
"""Their rows are in failed.csv: a producer must mend them or run them again."""

OPEN = frozenset(VideoState) - GOOD - BAD
"""Everything else: under way, waiting for a person's eye, or left out by a person."""

SHOWN = frozenset({VideoState.PUBLISHED, VideoState.NEEDS_REVIEW})
"""A publication counts only in these states; a video that is made anew still has the pointer to its old file."""

_RETRY = "run `callsheet retry {campaign}`; `callsheet explain {campaign} ROW_ID` shows every attempt"
_FIXES: Mapping[str, str] = {
    Ending.BAD_INPUT.value.upper(): "correct the row's picture, speech or text and submit the sheet again",
    Ending.BAD_OUTPUT.value.upper(): "change the prompt, the seed or the picture and submit the sheet again",
    Ending.OUT_OF_MEMORY.value.upper(): "use a smaller size for these rows, or a larger device, and submit again",
    Ending.CANCELLED.value.upper(): _RETRY,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RowError:
    """One thing that is wrong with a row, as every report words it."""

    code: str
    message: str
    fix: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveredRow:
    """One row of the manifest; its state is its video's. Bytes and line count as in the stored manifest."""

    row_id: str
    line: int
    byte_start: int
    byte_end: int
    video_id: str
    seed: int | None
    attempts: int
    device_s: float
    prompt: str
    mode: str
    errors: tuple[RowError, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveredVideo:
    """One video with its rows in the sheet's order."""

    video_id: str
    name: str
    state: VideoState
    rows: tuple[DeliveredRow, ...]
    publication: Publication | None
    started_at: float | None
    """When its first attempt began; None where nothing was rendered for it."""
    ended_at: float | None

    @property
    def took_s(self) -> float | None:
        """Seconds from the first attempt to the end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, self.ended_at - self.started_at)

    @property
    def device_s(self) -> float:
        return sum(row.device_s for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class Collected:
    """Everything that the deliverables say, frozen at one moment."""

    campaign: Campaign
    counts: Counts
    rows: tuple[DeliveredRow, ...]
    """In manifest order."""
    videos: Mapping[str, DeliveredVideo]
    """By id, in the order of their first rows."""
    collected_at: float
    """Seconds since the epoch on the database's clock."""
    states: Mapping[VideoState, int] = field(default_factory=dict)
    """Videos by state, those of no video left out."""

    def state_of(self, row: DeliveredRow) -> VideoState:
        return self.videos[row.video_id].state

    def rows_in(self, states: frozenset[VideoState]) -> list[DeliveredRow]:
        return [row for row in self.rows if self.state_of(row) in states]


def collect(ledger: Ledger, campaign: Campaign, *, prompt_of: Callable[[int, int], str] | None = None) -> Collected:
    """Read the campaign once. `prompt_of` reads the prompt out of a bad row, given where its bytes begin and end.

    Rows come page by page, so a running campaign may move meanwhile: what the last-read row of a video says holds
    for all of its rows.

    Raises:
        Retryable: the sheet was submitted again while it was read.
    """
    latest: dict[str, RowStatus] = {}
    members: dict[str, list[DeliveredRow]] = {}
    rows: list[DeliveredRow] = []
    for status in ledger.rows(campaign.campaign_id):
        row = _row(status, campaign, prompt_of)
        rows.append(row)
        latest[status.video_id] = status
        members.setdefault(status.video_id, []).append(row)
    counts = ledger.counts(campaign.campaign_id)
    _check_complete(campaign, ledger.campaign(campaign.campaign_id), len(rows))
    videos = {video_id: _video(latest[video_id], tuple(mine)) for video_id, mine in members.items()}
    return Collected(
        campaign=campaign,
        counts=counts,
        rows=tuple(rows),
        videos=videos,
        collected_at=ledger.now(),
        states=Counter(video.state for video in videos.values()),
    )


def _check_complete(campaign: Campaign, after: Campaign, rows: int) -> None:
    """ok + failed + not run = input; anything else means that two sheets were mixed."""
    expected = campaign.manifest.rows if campaign.manifest else rows
    if after.revision != campaign.revision or rows != expected:
        raise Retryable(
            f"the ledger gave {rows} rows of {campaign.name}, its sheet has {expected}: it is being submitted again",
            fix="run the same command again when the submit is through",
        )


def _row(status: RowStatus, campaign: Campaign, prompt_of: Callable[[int, int], str] | None) -> DeliveredRow:
    unread = prompt_of(status.byte_start, status.byte_end) if prompt_of and not status.shot else ""
    return DeliveredRow(
        row_id=status.row_id,
        line=status.line,
        byte_start=status.byte_start,
        byte_end=status.byte_end,
        video_id=status.video_id,
        seed=status.seed,
        attempts=status.attempts,
        device_s=status.device_s,
        prompt=status.shot.prompt if status.shot else unread,
        mode=status.shot.mode.value if status.shot else "",
        errors=row_errors(status, campaign.name),
    )


def _video(status: RowStatus, rows: tuple[DeliveredRow, ...]) -> DeliveredVideo:
    return DeliveredVideo(
        video_id=status.video_id,
        name=status.video,
        state=status.state,
        rows=rows,
        publication=status.publication if status.state in SHOWN else None,
        started_at=status.started_at,
        ended_at=status.ended_at,
    )


def row_errors(status: RowStatus, campaign: str) -> tuple[RowError, ...]:
    """The row's own problems, else what its video failed of; nothing for a row that is well."""
    if status.problems:
        return tuple(_from_problem(problem) for problem in status.problems)
    if not (status.error_code or status.error) or status.state in GOOD:
        return ()
    if status.state is VideoState.INVALID:
        fix = "correct that row; the rows of one video go in together"
    else:
        fix = _FIXES.get(status.error_code, _RETRY).format(campaign=campaign)
    return (RowError(code=status.error_code, message=status.error, fix=fix),)


def _from_problem(problem: RowProblem) -> RowError:
    # A column's name may go over several lines; a cell of ours that did would tear the record before it further open.
    message = f"{visible(problem.column)}: {problem.message}" if problem.column else problem.message
    return RowError(code=problem.code.value, message=message, fix=problem.fix)


@dataclass(frozen=True, kw_only=True)
class ErrorGroup:
    """All rows with one error code, as a report states them first."""

    code: str
    rows: int
    first_line: int
    message: str
    """Of the first row."""
    fix: str


def error_groups(collected: Collected) -> list[ErrorGroup]:
    """Errors of rows that are not finished, by code, most rows first; a row counts once for each of its codes."""
    found: dict[str, ErrorGroup] = {}
    for row in collected.rows:
        for error in {error.code: error for error in reversed(row.errors)}.values():
            known = found.get(error.code)
            found[error.code] = ErrorGroup(
                code=error.code or "UNKNOWN",
                rows=known.rows + 1 if known else 1,
                first_line=known.first_line if known else row.line,
                message=known.message if known else error.message,
                fix=known.fix if known else error.fix,
            )
    return sorted(found.values(), key=lambda group: (-group.rows, group.first_line))
