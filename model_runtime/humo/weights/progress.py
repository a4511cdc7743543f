"""How far files are, told to whoever sits at the terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TextIO

from tqdm import tqdm  # type: ignore[import-untyped]  # ships no types

_EVERY_S = 5.0
"""How often an unfinished file gets a line where there is no terminal."""


class Progress:
    """Bytes of each file and of all of them: one bar on a terminal, plain lines elsewhere.

    Give it as `on_plan` and `on_bytes`; files may be told of from several threads.
    """

    def __init__(self, what: str, *, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._what = what
        self._sizes: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._said_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self._bar: tqdm | None = None

    def plan(self, sizes: Mapping[str, int]) -> None:
        """Every file's size in bytes, as soon as all are known."""
        self._sizes = dict(sizes)
        if self._stream.isatty():
            self._bar = tqdm(
                total=sum(sizes.values()),
                desc=self._what,
                unit="B",
                unit_scale=True,
                file=self._stream,
                dynamic_ncols=True,
                # Pieces are large: each is drawn, also the last one before a pause.
                mininterval=0,
                miniters=1,
            )

    def __call__(self, name: str, done: int, total: int) -> None:
        """So many of a file's bytes are through."""
        with self._lock:
            new, is_first = done - self._done.get(name, 0), name not in self._done
            if not new and not is_first:
                return
            self._done[name] = done
            if self._bar is None:
                self._line(name, done, total)
            else:
                self._draw(name, done, total, new, is_first=is_first)

    def _draw(self, name: str, done: int, total: int, new: int, *, is_first: bool) -> None:
        assert self._bar is not None
        if is_first and done < total:
            # Found here, not brought now: it must not count as speed.
            self._bar.initial += new
            self._bar.n += new
            new = 0
        self._bar.set_postfix_str(f"{name} {size(done)} of {size(total)}", refresh=False)
        self._bar.update(new)
        if done == total:
            self._bar.write(f"{size(total):>9}  {name}", file=self._stream)

    def _line(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self._said_at.setdefault(name, now) < _EVERY_S:
            return
        self._said_at[name] = now
        share = 100 * done // total if total else 100
        in_all = f"in all {size(sum(self._done.values()))} of {size(sum(self._sizes.values()))}"
        self._stream.write(f"{share:3} %  {size(done)} of {size(total)}  {name}  ({in_all})\n")
        self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str("", refresh=False)
            self._bar.close()


def size(count: int) -> str:
    """Bytes as people say them, in powers of a thousand."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count} B"
