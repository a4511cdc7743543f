"""The hostile corpus: every file is made by this script, the same bytes each time; nothing of it is committed.

`python -m tests.hostile.corpus FOLDER` writes all cases for somebody who wants to look at them.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from tests.support.hostile import Case
from tests.support.hostile_pictures import pictures
from tests.support.hostile_places import places
from tests.support.hostile_sheets import sheets
from tests.support.hostile_sounds import sounds


@cache
def corpus() -> tuple[Case, ...]:
    """All cases; names are unique."""
    return (*sheets(), *pictures(), *sounds(), *places())


def write(folder: Path) -> None:
    """Each case into a folder of its own."""
    for number, case in enumerate(corpus()):
        here = folder / f"{number:03d}"
        here.mkdir(parents=True)
        case.build(here)
        (here / "case.txt").write_text(f"{case.name}\n" + "".join(f"{said}\n" for said in case.said[:20]))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
