"""docs/worker.md says what the code does."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from model_runtime.phases import FLOORS
from model_runtime.worker_command import worker_parser
from schemas.worker_exit import WorkerExit

PAGE = (Path(__file__).parents[2] / "docs" / "worker.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """First cell -> other cells of the table whose first header cell is `heading`."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {cells[0].strip("`"): cells[1:] for cells in lines}


def test_the_steps_and_their_floors_are_the_codes() -> None:
    """Every step, in order, with its floor."""
    found = rows("step")
    assert list(found) == [step.value for step in FLOORS]
    assert {step: float(cells[1]) for step, cells in found.items()} == FLOORS


def test_the_exit_codes_are_the_codes() -> None:
    """Every exit code with its name."""
    named = {int(code): re.search(r"`(\w+)`", cells[0]) for code, cells in rows("exit code").items()}
    assert {code: match and match[1] for code, match in named.items()} == {
        int(code): code.name.lower() for code in WorkerExit
    }


def test_the_flags_are_the_codes() -> None:
    """Every flag, in the parser's order, and every default that is a number."""
    actions = [a for a in worker_parser()._actions if a.dest != "help"]
    found = rows("flag")
    assert list(found) == [action.option_strings[0] for action in actions]
    for action in actions:
        if isinstance(action.default, (int, float)) and not isinstance(action, argparse._StoreTrueAction):
            assert float(found[action.option_strings[0]][0]) == action.default
