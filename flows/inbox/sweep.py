"""One sweep of the inbox: what is ready becomes a campaign, what is bad gets its report, the rest waits."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from flows.campaign.intake import ManifestSource
from flows.campaign.render import submit
from flows.inbox.drop import Drop, Readiness, drops, readiness, references_of
from flows.inbox.place import Claimed, InboxPlace
from schemas.errors import CallsheetError, InvalidInput, InvalidManifest, NotFound, Retryable
from schemas.problem import RowProblem, group_problems
from schemas.settings import Settings
from schemas.submission import SubmitReport

log = logging.getLogger("callsheet.inbox")

LISTED = 1000
"""Problems in problems.md; problems.json has all."""


class Fate(StrEnum):
    SUBMITTED = "submitted"
    REFUSED = "refused"
    WAITS = "waits"
    PUT_BACK = "put back"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one sheet."""

    name: str
    fate: Fate
    why: str = ""
    until: float | None = None
    report: SubmitReport | None = None
    where: str = ""


def look(place: InboxPlace, settings: Settings, *, clock: Callable[[], float] = time.time) -> list[Outcome]:
    """What lies there and why it waits; nothing is touched."""
    return [
        Outcome(name=drop.sheet.name, fate=Fate.WAITS, why=state.why or "ready for the next sweep", until=state.until)
        for drop, _, state in _states(place, settings, pause=lambda _: None, clock=clock)
    ]


def sweep(
    place: InboxPlace,
    settings: Settings,
    *,
    submitted: Callable[[SubmitReport], None],
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> list[Outcome]:
    """Look twice, `inbox_quiet_s` apart, and take what is ready. `submitted` is told of each new campaign before its
    sheet is moved away, so that a sweep that dies in between is repeated.

    Raises:
        Retryable: the inbox is away.
    """
    recovered = place.recover()
    if recovered:
        log.warning("%d sheets that a dead sweep had taken lie in the inbox again", recovered)
    found = list(_states(place, settings, pause=pause, clock=clock))
    return [
        _take(place, drop, references, settings, submitted)
        if state.ready
        else Outcome(name=drop.sheet.name, fate=Fate.WAITS, why=state.why, until=state.until)
        for drop, references, state in found
    ]


def _states(
    place: InboxPlace, settings: Settings, *, pause: Callable[[float], None], clock: Callable[[], float]
) -> Iterator[tuple[Drop, list[str], Readiness]]:
    before = place.list()
    if not drops(before):
        return
    pause(settings.inbox_quiet_s)
    now = place.list()
    for drop in drops(now):
        data = place.read(drop.sheet, settings.limits.manifest_bytes)
        names = references_of(data, drop.sheet.name, settings.limits)
        yield drop, names, readiness(drop, before, now, names, settings=settings, clock=clock())


def _take(
    place: InboxPlace,
    drop: Drop,
    references: list[str],
    settings: Settings,
    submitted: Callable[[SubmitReport], None],
) -> Outcome:
    name = drop.sheet.name
    with place.claim(drop, references) as claimed:
        if claimed is None:
            return Outcome(name=name, fate=Fate.WAITS, why="another sweep has it")
        source = ManifestSource(path=claimed.path, campaign=drop.stem, base=claimed.base, kept_at=claimed.kept_at)
        try:
            report = submit(source, settings)
        except Retryable as error:
            return Outcome(name=name, fate=Fate.PUT_BACK, why=error.message)
        except (InvalidInput, NotFound) as error:
            return _refuse(place, claimed, error)
        submitted(report)
        if not place.finish(claimed):
            return Outcome(name=name, fate=Fate.PUT_BACK, why="it changed while it was read", report=report)
        return Outcome(name=name, fate=Fate.SUBMITTED, report=report, where=claimed.kept_at)


def _refuse(place: InboxPlace, claimed: Claimed, error: CallsheetError) -> Outcome:
    problems = error.problems if isinstance(error, InvalidManifest) else ()
    where = place.refuse(claimed, reports(claimed.drop.sheet.name, error, problems))
    if not where:
        return Outcome(name=claimed.drop.sheet.name, fate=Fate.PUT_BACK, why="it changed while it was read")
    return Outcome(name=claimed.drop.sheet.name, fate=Fate.REFUSED, why=error.message, where=where)


def reports(name: str, error: CallsheetError, problems: tuple[RowProblem, ...]) -> dict[str, bytes]:
    """What lies beside a refused sheet: a page for its author and a file for programs."""
    lines = [f"# {name} was refused", "", error.message, ""]
    if error.fix:
        lines += [f"Fix: {error.fix}", ""]
        if "--engine" in error.fix:
            lines += ['A sheet in the inbox has no options: `campaign.toml` beside it says `engine = "..."`.', ""]
    lines += [f"- {group}" for group in group_problems(problems)]
    if problems:
        lines += ["", "| line | row_id | column | problem | fix |", "|---:|---|---|---|---|"]
        lines += [
            f"| {p.line} | {_cell(p.row_id)} | {_cell(p.column)} | {p.code}: {_cell(p.message)} | {_cell(p.fix)} |"
            for p in problems[:LISTED]
        ]
    lines += ["", "Mend the sheet and put it into the inbox again with its files."]
    said = {"sheet": name, "error": error.message, "fix": error.fix, "problems": [p.as_dict() for p in problems]}
    return {
        "problems.md": "\n".join(lines).encode("utf-8", "replace") + b"\n",
        "problems.json": json.dumps(said, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n",
    }


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
