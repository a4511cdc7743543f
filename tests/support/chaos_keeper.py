"""`python -m tests.support.chaos_keeper plan.json`: keeps slots filled until every flow has come to its end.

It imports everything once and forks, so that a killed worker or flow is back within milliseconds. It holds no thread
and opens nothing that a child would share.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.chaos_plan import Plan, Slot

TURN_S = 0.02
FAREWELL_S = 15.0


@dataclass
class _Place:
    slot: Slot
    number: int = 0
    pid: int = 0
    began: float = 0.0
    done: bool = False
    conts: list[tuple[float, int]] = field(default_factory=list)
    """When to wake which stopped process."""


class Keeper:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._folder = Path(plan.folder)
        self._places = {slot.name: _Place(slot) for slot in plan.slots}
        self._strikes = sorted(plan.strikes, key=lambda strike: strike.at_s)
        self._lives = (self._folder / "lives.jsonl").open("a")
        self._struck = (self._folder / "strikes.jsonl").open("a")

    def run(self) -> int:
        from tests.support.chaos_plan import Role

        began = time.monotonic()
        while any(not place.done for place in self._places.values() if place.slot.role is Role.FLOW):
            if time.monotonic() - began > self._plan.deadline_s:
                self._end(signal.SIGKILL)
                return 1
            for place in self._places.values():
                if not place.pid and not place.done:
                    self._start(place)
            self._strike(time.monotonic() - began)
            self._bury()
            time.sleep(TURN_S)
        return self._end(signal.SIGTERM)

    def _start(self, place: _Place) -> None:
        place.number += 1
        place.began = time.time()
        place.pid = os.fork()
        if not place.pid:
            self._be(place)

    def _be(self, place: _Place) -> None:
        from tests.support.chaos_plan import log_path, settings_of
        from tests.support.chaos_roles import play, redirect

        code = 1
        try:
            os.setsid()
            redirect(log_path(self._folder, place.slot.name))
            code = play(place.slot, settings_of(self._plan))
        except BaseException:  # noqa: BLE001 - a fork must never come back into the keeper's loop
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _strike(self, now: float) -> None:
        while self._strikes and self._strikes[0].at_s <= now:
            strike = self._strikes.pop(0)
            place = self._places[strike.slot]
            if not place.pid:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(place.pid, signal.Signals[strike.signal])
            _write(self._struck, {**strike.model_dump(), "at": time.time(), "pid": place.pid})
            if strike.signal == "SIGSTOP":
                place.conts.append((now + strike.for_s, place.pid))
        for place in self._places.values():
            for due in [cont for cont in place.conts if cont[0] <= now]:
                place.conts.remove(due)
                if due[1] == place.pid:
                    os.kill(place.pid, signal.SIGCONT)

    def _bury(self) -> None:
        from tests.support.chaos_plan import Role

        for place in self._places.values():
            if not place.pid:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if not pid:
                continue
            code = os.waitstatus_to_exitcode(status)
            if place.done and code == -signal.SIGTERM:
                code = 0  # told to go before it could listen: it held nothing
            life = {"slot": place.slot.name, "number": place.number, "pid": pid, "status": code}
            _write(self._lives, {**life, "began": place.began, "ended": time.time()})
            place.pid = 0
            place.done = code == 0 and place.slot.role is Role.FLOW

    def _end(self, how: signal.Signals) -> int:
        """Tell all to go, and wait for them."""
        until = time.monotonic() + FAREWELL_S
        for place in self._places.values():
            place.done = True
            if place.pid:
                os.kill(place.pid, signal.SIGCONT)
                os.kill(place.pid, how)
        while any(place.pid for place in self._places.values()):
            self._bury()
            if time.monotonic() > until:
                self._end(signal.SIGKILL)
                return 2
            time.sleep(TURN_S)
        return 0


def _write(stream: IO[str], line: dict[str, object]) -> None:
    stream.write(json.dumps(line) + "\n")
    stream.flush()


def main() -> int:
    import tests.support.chaos_roles  # noqa: F401 - imported once, for all children
    from tests.support.chaos_plan import Plan

    return Keeper(Plan.model_validate_json(Path(sys.argv[1]).read_text())).run()


if __name__ == "__main__":
    sys.exit(main())
