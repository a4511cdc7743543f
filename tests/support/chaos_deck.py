"""Decks of kills: which point strikes next, and the listeners that strike. Light: join processes import it.

A deck's state is in files, because those who read it die: one line in `.fired` for each kill, written before it, and
one byte in `.passes-N` for each time that card N's point was passed.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INSIDE_S = {"render": 0.12, "join": 0.25}
"""How far into a step the first try at its inside strikes; shorter each time that the step was quicker."""
_INSIDE_S = 0.012


@dataclass(frozen=True, kw_only=True)
class Card:
    """Strike when the point is passed for the time after `skip` others."""

    victim: str
    step: str
    moment: str
    skip: int = 0
    in_process: bool = False
    """For a flow: joins run in processes of their own, not in the flow's."""
    signal: str = "SIGKILL"
    for_s: float = 0.0
    """Seconds until a SIGSTOP is followed by a SIGCONT."""

    @property
    def name(self) -> str:
        return f"{self.victim}.{self.step}.{self.moment}"


class Deck:
    """Cards in order; the first one that has not fired is armed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cards: list[Card] | None = None

    @classmethod
    def write(cls, path: Path, cards: Sequence[Card]) -> Deck:
        path.write_text(json.dumps([vars(card) for card in cards]))
        return cls(path)

    @property
    def cards(self) -> list[Card]:
        if self._cards is None:
            self._cards = [Card(**card) for card in json.loads(self.path.read_text())]
        return self._cards

    @property
    def fired(self) -> list[dict[str, Any]]:
        path = self.path.with_suffix(".fired")
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def left(self) -> list[Card]:
        return self.cards[len(self.fired) :]

    def armed(self) -> tuple[int, Card] | None:
        index = len(self.fired)
        return (index, self.cards[index]) if index < len(self.cards) else None

    def passed(self, index: int) -> int:
        """Note that the point of a card was passed; how often it was before."""
        with self.path.with_suffix(f".passes-{index}").open("ab") as stream:
            stream.write(b".")
            return stream.tell() - 1

    def fire(self, index: int, pid: int, note: Mapping[str, Any]) -> bool:
        """Write the kill down and do it; False when another process was quicker."""
        with self._locked():
            fired = self.fired
            # Who was killed a moment ago may still be there to be found; dying twice would count for two.
            if len(fired) != index or any(one["pid"] == pid and one["signal"] == "SIGKILL" for one in fired):
                return False
            card = self.cards[index]
            line = {"point": card.name, "signal": card.signal, "for_s": card.for_s, "pid": pid, "at": time.time()}
            with self.path.with_suffix(".fired").open("a") as stream:
                stream.write(json.dumps(line | dict(note)) + "\n")
            if card.signal == "SIGSTOP":
                _wake_later(pid, card.for_s)
            os.kill(pid, signal.Signals[card.signal])
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _wake_later(pid: int, seconds: float) -> None:
    """From outside: a stopped process does nothing for itself."""
    subprocess.Popen(
        ["sh", "-c", f"sleep {seconds}; kill -CONT {pid}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


class Assassin:
    """A listener of steps. `find` gives the process id of a victim, or None where it does not live just now."""

    def __init__(self, deck: Deck, find: Callable[[str], int | None], note: Callable[[], Mapping[str, Any]]) -> None:
        self._deck = deck
        self._find = find
        self._note = note
        self._timer: threading.Timer | None = None
        self._aimed: Mapping[str, Any] = {}
        self._is_told = False
        self._striking = threading.Lock()

    def __call__(self, step: str, edge: str) -> None:
        armed = self._deck.armed()
        if armed is None or armed[1].step != step or self._is_told:
            return
        index, card = armed
        if self._find(card.victim) is None:
            return
        if card.moment == "inside":
            self._aim(index, card, edge)
        elif card.moment == edge and self._deck.passed(index) >= card.skip:
            self._strike(index, card)

    def _aim(self, index: int, card: Card, edge: str) -> None:
        if edge == "before":
            passes = self._deck.passed(index) - card.skip
            if passes >= 0:
                wait_s = INSIDE_S.get(card.step, _INSIDE_S) * 0.7**passes
                self._aimed = self._note()
                self._timer = threading.Timer(wait_s, self._strike, (index, card))
                self._timer.daemon = True
                self._timer.start()
        elif self._timer:
            with self._striking:
                self._timer.cancel()
                self._timer = None

    def _strike(self, index: int, card: Card) -> None:
        with self._striking:
            # A step that ended in an error has no second edge: then the aim is an old one.
            if card.moment == "inside" and (self._timer is None or self._aimed != self._note()):
                return
            pid = self._find(card.victim)
            if pid is not None:
                # A second word to go means another thing than the first.
                self._is_told = card.signal == "SIGTERM"
                self._deck.fire(index, pid, self._note())


class JoinAssassin:
    """The listener of one flow; it travels into the join's process and still knows whom it came from."""

    def __init__(self, deck: Path, flow: int, worker: str) -> None:
        self._arguments = (deck, flow, worker)
        self._flow = flow
        self._listen = Assassin(Deck(deck), self._find, lambda: {"worker": worker})

    def __call__(self, step: str, edge: str) -> None:
        self._listen(step, edge)

    def __reduce__(self) -> tuple[Any, ...]:
        return (JoinAssassin, self._arguments)

    def _find(self, victim: str) -> int | None:
        is_flow = os.getpid() == self._flow
        if not is_flow and os.getppid() != self._flow:
            return None  # the flow is dead; this process is about to follow it
        if victim == "flow":
            return self._flow
        return None if is_flow else os.getpid()
