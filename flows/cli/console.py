"""How verbs talk: tables and bars for people, JSON for programs, errors on stderr with the fix."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from schemas.errors import Refused
from schemas.redaction import PATTERNS, Redactor
from schemas.settings import Settings
from schemas.status import Change

# emoji=False: `:key:` in a stranger's cell or file name is no picture of a key.
out = Console(highlight=False, soft_wrap=False, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

LINE_EVERY_S = 5.0
"""How often progress is a plain line where there is no terminal."""


def say(text: str = "", style: str = "") -> None:
    """A line for people. The text is shown as it is: strangers' cells hold no markup and move no cursor."""
    out.print(escape(clean(text, keep="\n")), style=style or None, soft_wrap=True)


def note(text: str) -> None:
    """A line for people that must not mix with output: stderr. Secrets in it become stars."""
    err.print(escape(clean(_keeper.redact(text), keep="\n")))


@dataclass
class _Keeper:
    redact: Redactor


_keeper = _Keeper(PATTERNS)


def keep_secrets_of(settings: Settings) -> None:
    """From now on no note shows a secret of these settings, whoever worded it."""
    _keeper.redact = Redactor.of(settings)


def redacted(text: str) -> str:
    """What `note` would show."""
    return _keeper.redact(text)


def emit_json(value: Any) -> None:
    """One JSON document on stdout; what is not printable in it is escaped, as is all that stdout cannot encode."""
    text = json.dumps(value, indent=2, ensure_ascii=not _speaks_unicode(), default=str)
    sys.stdout.write(_UNPRINTABLE.sub(lambda match: json.dumps(match[0])[1:-1], text) + "\n")


_UNPRINTABLE = re.compile(
    "[\x7f-\xa0\xad\u0600-\u0605\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """A table that fits 80 columns; long cells fold."""
    shown = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        numeric = all(isinstance(row[number], int | float) for row in rows) and rows
        shown.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(escape(clean(str(cell))) for cell in row))
    out.print(shown)


def clean(text: str, *, keep: str = "") -> str:
    """Control and bidi characters made visible, so that a cell cannot repaint the terminal."""
    return "".join(c if c.isprintable() or c in keep else f"\\x{ord(c):02x}" for c in text)


def duration(seconds: float) -> str:
    """`42s`, `9m12s`, `3h04m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def announce(verb: str, change: Change) -> None:
    """What a verb is about to touch, said before it does."""
    rows = "1 row" if change.rows == 1 else f"{change.rows} rows"
    note(f"{verb}: {rows}, {change.videos} videos, {change.jobs} clips, about {duration(change.device_s)} of rendering")


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal; a script that runs the verb has answered by running it.

    Raises:
        Refused: the person said no; nothing was changed.
    """
    if yes or not sys.stdin.isatty():
        return
    err.print(f"{escape(question)} [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Refused("not confirmed; nothing was changed", fix="answer y, or use --yes")


class Bar:
    """Progress of named phases: a bar with rate and time left on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._live = err.is_terminal and not quiet
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(show_speed=False),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}
        self._slots: dict[str, tuple[Any, str]] = {}
        self._slots_said = time.monotonic()
        self._began: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def __enter__(self) -> Bar:
        if self._live:
            self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._progress.stop()

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self.quiet or not total:
            return
        began = self._began.setdefault(phase, time.monotonic())
        elapsed = time.monotonic() - began
        rate = f"{done / elapsed:.1f}/s" if elapsed > 0.5 and done else ""
        if self._live:
            if phase not in self._tasks:
                self._tasks[phase] = self._progress.add_task(phase, total=total, rate="")
            self._progress.update(self._tasks[phase], completed=done, total=total, rate=rate)
        elif done and (done == total or time.monotonic() - self._said.get(phase, began) >= LINE_EVERY_S):
            if done == total and self._said.get(phase) == float("inf"):
                return
            self._said[phase] = float("inf") if done == total else time.monotonic()
            left = f", {duration((total - done) * elapsed / done)} left" if done and done < total else ""
            note(f"{phase}: {done}/{total} {rate}{left}".rstrip())

    def slots(self, working: Mapping[str, tuple[str, int, int]]) -> None:
        """Who does what now, as `(what, done, total)` by name: a bar for each, or a line for all every few seconds."""
        if self.quiet:
            return
        if self._live:
            self._draw_slots(working)
        elif working and time.monotonic() - self._slots_said >= LINE_EVERY_S:
            self._slots_said = time.monotonic()
            note("; ".join(f"{what} {done}/{total}" for what, done, total in working.values()))

    def _draw_slots(self, working: Mapping[str, tuple[str, int, int]]) -> None:
        for name in self._slots.keys() - working.keys():
            task, _ = self._slots.pop(name)
            self._progress.remove_task(task)
        for name, (what, done, total) in working.items():
            task, was = self._slots.get(name, (None, ""))
            if task is None:
                task = self._progress.add_task(escape(clean(what)), total=total, rate="")
            elif was != what:
                # Another clip or phase goes at its own pace.
                self._progress.reset(task, total=total, description=escape(clean(what)))
            self._slots[name] = (task, what)
            self._progress.update(task, completed=done, total=total)


@contextmanager
def bar(*, quiet: bool = False) -> Iterator[Bar]:
    with Bar(quiet=quiet) as shown:
        yield shown


def change_as_dict(change: Change, **more: Any) -> Mapping[str, Any]:
    return {
        "rows": change.rows,
        "videos": change.videos,
        "jobs": change.jobs,
        "device_s": change.device_s,
        "row_ids": list(change.row_ids),
        **more,
    }
