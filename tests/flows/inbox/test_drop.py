"""Which sheets of an inbox may be taken is decided from two looks alone."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from flows.inbox.drop import COMPLETE, InboxFile, drops, readiness, references_of
from schemas.settings import Limits, Settings

SETTINGS = Settings(inbox_quiet_s=5, inbox_patience_s=900)
NOW = 1_700_000_000.0


def file(name: str, *, age: float = 60, size: int = 10) -> InboxFile:
    return InboxFile(name=name, size=size, stamp=str(NOW - age), modified_at=NOW - age)


def ready(*files: InboxFile, before: tuple[InboxFile, ...] | None = None, references: tuple[str, ...] = ()) -> str:
    drop = next(iter(drops(files)))
    found = readiness(drop, files if before is None else before, files, references, settings=SETTINGS, clock=NOW)
    return "" if found.ready else found.why


def test_sheets_are_found_alone_and_in_folders() -> None:
    """Hidden files, done and refused sheets are none; a folder with one sheet goes as a whole."""
    names = [
        "a.csv",
        ".b.csv",
        "done/x/c.csv",
        "failed/y/d.csv",
        ".taken/e.csv",
        "spring/s.csv",
        "two/1.csv",
        "two/2.csv",
    ]
    found = {drop.sheet.name: drop.alone for drop in drops([file(name) for name in names])}
    assert found == {"a.csv": True, "spring/s.csv": False, "two/1.csv": True, "two/2.csv": True}


def test_a_sheet_that_grows_waits() -> None:
    """Another size or time than at the look before, or none before, means that somebody is writing."""
    sheet = file("a.csv")
    assert ready(sheet) == ""
    assert "still being written" in ready(sheet, before=(replace(sheet, size=9),))
    assert "still being written" in ready(sheet, before=())
    assert "still being written" in ready(file("a.csv", age=1))


def test_a_named_file_that_grows_holds_its_sheet() -> None:
    """Files that the sheet names are watched like the sheet; others are not."""
    sheet, picture = file("a.csv"), file("face.png")
    growing = replace(picture, size=3)
    assert "face.png" in ready(sheet, picture, before=(sheet, growing), references=("face.png",))
    assert ready(sheet, picture, before=(sheet, growing)) == ""


def test_missing_files_are_waited_for_and_not_for_ever() -> None:
    """A sheet waits for what it names until its patience is over, then it is taken and says what is missing."""
    assert ready(file("a.csv"), references=("x.png", "y.wav")) == "waits for files that it names: x.png, y.wav"
    assert ready(file("a.csv", age=901), references=("x.png",)) == ""


def test_a_marker_ends_all_waiting() -> None:
    """Who puts `SHEET.complete` beside it says that everything is there."""
    sheet = file("a.csv", age=0)
    assert ready(sheet, file(f"a.csv{COMPLETE}", age=0), before=(), references=("x.png",)) == ""


@given(st.binary(max_size=400))
def test_no_sheet_breaks_the_look(data: bytes) -> None:
    """Whatever bytes lie there, looking finds names or none."""
    assert all(name and ".." not in name for name in references_of(data, "a.csv", Limits()))


def test_only_files_beside_the_sheet_are_waited_for() -> None:
    """Addresses and impossible paths are the intake's business."""
    data = b"row_id,prompt,image,audio\n1,p,a.png|s3://b/k.png,./sub/b.wav\n2,p,../../etc/passwd,https://h/x.wav\n"
    assert references_of(data, "a.csv", Limits()) == ["a.png", "sub/b.wav"]
