"""The table of the defences: what is cut, which schedule notices it first, and by which promise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.defences import DEFENCES, Defence
from tests.simulation.invariants import promises
from tests.simulation.removal import ROOT, Failed, Noticed, copy_of_the_code, fail_without, play_without

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- defences: written by `make defences` -->", "<!-- end of defences -->"
PROMISES_BEGIN, PROMISES_END = "<!-- invariants: written by `make defences` -->", "<!-- end of invariants -->"
_HEAD = "| defence | what is cut | without it | first seed | what notices |\n|---|---|---|---|---|\n"
_ROW = re.compile(r"^\| `(?P<name>[a-z-]+)` \|.*\| (?P<seed>\d+|-) \| `(?P<notices>\w+)` \|$", re.MULTILINE)


def make_table(*, seeds: int, only: Sequence[str], page: str | None) -> int:
    """Play without each defence in turn, print what noticed it, and write the page; 1 when one is not missed."""
    unknown = set(only) - {defence.name for defence in DEFENCES}
    if unknown or (only and page):
        print(f"no such defence: {', '.join(sorted(unknown))}" if unknown else "a page holds all defences, not some")
        return 2
    rows, missed = [], 0
    with copy_of_the_code() as source:  # as it is now: somebody may go on writing
        for defence in DEFENCES:
            if only and defence.name not in only:
                continue
            noticed = _notice(defence, source, seeds)
            missed += noticed is None
            print(f"{defence.name:24} {noticed or 'NOT NOTICED'}", flush=True)
            rows.append(_row(defence, noticed))
    print(f"{len(rows)} defences, {missed} that nothing misses")
    if page:
        write(Path(page), rows)
    return 1 if missed else 0


def _notice(defence: Defence, source: Path, seeds: int) -> Noticed | Failed | None:
    noticed = play_without(defence, source=source, seeds=seeds)
    return noticed or (fail_without(defence, source=source) if defence.test else None)


def _row(defence: Defence, noticed: Noticed | Failed | None) -> str:
    match noticed:
        case Noticed():
            found = f"{noticed.seed} | `{noticed.promise}`"
        case Failed():
            found = f"- | `{noticed.test}`"
        case None:
            found = "- | nothing"
    return f"| `{defence.name}` | {defence.what} | {defence.why} | {found} |\n"


def write(page: Path, rows: Sequence[str]) -> None:
    text = _between(page.read_text(encoding="utf-8"), BEGIN, END, _HEAD + "".join(rows))
    page.write_text(_between(text, PROMISES_BEGIN, PROMISES_END, promises_text()), encoding="utf-8")


def _between(text: str, begin: str, end: str, new: str) -> str:
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{new}{end}{after}"


def promises_text() -> str:
    """The list of invariants, as the page has it."""
    return "".join(f"- `{name}`: {sentence}\n" for name, sentence in promises().items())


def recorded(page: Path = PAGE) -> dict[str, int | None]:
    """By defence: the first seed that noticed its absence when the page was written; None where a test did."""
    rows = _ROW.finditer(page.read_text(encoding="utf-8"))
    return {found["name"]: None if found["seed"] == "-" else int(found["seed"]) for found in rows}
