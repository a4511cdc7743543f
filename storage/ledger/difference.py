"""What a submitted manifest changes, row by row: pure, so that a dry run and a submit cannot disagree."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from schemas.campaign import CampaignSettings
from schemas.digest import digest, sha256_hex
from schemas.submission import PlannedRow, SubmitReport

SHOWN = 100
"""How many row ids a report names."""


class RowChange(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownRow:
    """What the ledger remembers of a row, as far as a comparison needs it."""

    content: str
    said: str
    video_id: str
    place: int
    """0-based order of its shot inside the video."""
    priority: int
    not_before: float


@dataclass(frozen=True, kw_only=True)
class RowDifference:
    change: RowChange
    keeps_jobs: bool
    """Its jobs stay as they are: rendered, queued or under way."""

    @property
    def differs(self) -> bool:
        return self.change is not RowChange.UNCHANGED


_ADDED = RowDifference(change=RowChange.ADDED, keeps_jobs=False)


def look_of(settings: CampaignSettings) -> str:
    """A digest of the settings that change what every row's video looks or sounds like.

    Sizes, seeds and negative prompts are in the shots already. Versions of engines and digests of weights are left
    out: an upgrade of the program alone renders nothing again.
    """
    return digest(
        settings.model_dump(
            mode="json",
            include={
                "model",
                "engine",
                "num_inference_steps",
                "guidance_text",
                "guidance_audio",
                "guidance_image",
                "crossfade_frames",
                "loudness_lufs",
            },
        )
    )


def content_of(row: PlannedRow, look: str) -> str:
    """A digest of what decides the row's picture and sound, or of the problems that keep it out.

    Lines, byte ranges, priority and pass-through columns are not in it.
    """
    if row.is_valid:
        assert row.shot is not None
        return digest(["shot", row.shot.content(), look])
    problems = [(p.column, p.code.value, p.message) for p in row.problems]
    return digest(["problems", sorted(problems)])


def said_of(row: PlannedRow, *, shot: bytes, problems: str) -> str:
    """A digest of everything that the ledger keeps of a row: equal means that there is nothing to write.

    `shot` and `problems` are the texts under which the row's are kept.
    """
    place = f"{row.line} {row.position} {row.byte_start} {row.byte_end}\n{problems}\n"
    return sha256_hex(place.encode() + shot)


def place_of(row: PlannedRow) -> int:
    return row.shot.position if row.shot else 0


def not_before_of(row: PlannedRow) -> float:
    """Seconds since the epoch; 0 when the row may be rendered at once."""
    return row.shot.not_before.timestamp() if row.shot and row.shot.not_before else 0.0


def compare(row: PlannedRow, known: KnownRow | None, *, content: str, video_id: str, has_jobs: bool) -> RowDifference:
    """How a row differs from the one of the same id; `has_jobs` is False where a bad sibling kept its jobs away."""
    if known is None:
        return _ADDED
    same_work = known.content == content and known.video_id == video_id
    same_place = not row.is_valid or known.place == place_of(row)
    change = RowChange.UNCHANGED if same_work and same_place else RowChange.CHANGED
    return RowDifference(change=change, keeps_jobs=same_work and has_jobs and row.is_valid)


@dataclass(kw_only=True)
class Tally:
    """Counts a difference while its rows stream by."""

    unchanged: int = 0
    invalid: int = 0
    jobs_new: int = 0
    jobs_reused: int = 0
    ids: dict[RowChange, list[str]] = field(default_factory=lambda: {change: [] for change in RowChange})
    counts: dict[RowChange, int] = field(default_factory=lambda: dict.fromkeys(RowChange, 0))
    removed: int = 0
    removed_ids: list[str] = field(default_factory=list)

    def row(self, row_id: str, change: RowChange) -> None:
        self.counts[change] += 1
        if len(self.ids[change]) < SHOWN:
            self.ids[change].append(row_id)

    def remove(self, row_id: str) -> None:
        self.removed += 1
        if len(self.removed_ids) < SHOWN:
            self.removed_ids.append(row_id)

    @property
    def differs(self) -> bool:
        return bool(self.counts[RowChange.ADDED] or self.counts[RowChange.CHANGED] or self.removed)

    def report(self, campaign_id: str, *, created: bool, revision: int) -> SubmitReport:
        return SubmitReport(
            campaign_id=campaign_id,
            created=created,
            revision=revision,
            added=self.counts[RowChange.ADDED],
            changed=self.counts[RowChange.CHANGED],
            unchanged=self.counts[RowChange.UNCHANGED],
            removed=self.removed,
            invalid=self.invalid,
            jobs_new=self.jobs_new,
            jobs_reused=self.jobs_reused,
            added_rows=tuple(self.ids[RowChange.ADDED]),
            changed_rows=tuple(self.ids[RowChange.CHANGED]),
            removed_rows=tuple(self.removed_ids),
        )
