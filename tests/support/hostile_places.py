"""What is no regular file, or lies where it should not: as the sheet, beside it, and in its cells."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from schemas.problem import Code
from tests.support.hostile import Case, cell, good_row, whole, with_bytes, with_media, with_rows

SHEET = b"row_id,prompt,image\nr1,A woman speaks,good.png\n"


def places() -> Iterator[Case]:
    """Every hostile place."""
    yield from _sheets()
    yield from _names()
    yield from _media()
    yield from _campaign_files()


def _at(make: Callable[[Path], object], name: str = "sheet.csv") -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        make(folder / name)
        return folder / name

    return build


def _fixed(path: str) -> Callable[[Path], Path]:
    return lambda _: Path(path)


def _sheets() -> Iterator[Case]:
    """What is given as the sheet itself."""
    gone = whole(Code.FILE_NOT_FOUND)
    for name, build in (
        ("is not there", lambda folder: folder / "sheet.csv"),
        ("is a folder", lambda folder: folder),
        ("is the root folder", _fixed("/")),
        ("is a named pipe", _at(os.mkfifo)),
        ("is a socket", _at(make_socket)),
        ("is a link in a circle", _at(lambda path: path.symlink_to(path.name))),
        ("is a link to nothing", _at(lambda path: path.symlink_to("nowhere.csv"))),
        ("is a link to a device", _at(lambda path: path.symlink_to("/dev/zero"))),
        ("is an endless device", _fixed("/dev/zero")),
        ("is the terminal", _fixed("/dev/tty")),
        ("lies below a file", lambda folder: with_bytes(SHEET)(folder) / "x.csv"),
        ("has a name too long", lambda folder: folder / ("x" * 300 + ".csv")),
        ("has a path too long", lambda folder: folder / "/".join(["x" * 200] * 25)),
        ("cannot be read", _fixed("/proc/self/mem")),
    ):
        said = whole(Code.FILE_EMPTY) if name == "cannot be read" else gone
        yield Case(name=f"the sheet {name}", build=build, said=(said,))
    for path in ("/proc/self/environ", "/proc/self/maps", "/proc/kmsg", "/proc/self/pagemap"):
        yield Case(name=f"the sheet is {path}", build=_fixed(path), said=(whole(Code.FILE_EMPTY),))
    for size in (2**28 + 1, 2**40):
        build = _at(partial(make_sparse, size))
        yield Case(name=f"the sheet is a hole of {size} bytes", build=build, said=(whole(Code.FILE_TOO_LARGE),))
    hole = _at(partial(make_sparse, 2**27))
    yield Case(name="the sheet is a hole of 128 MB", build=hole, said=(whole(Code.FILE_NOT_TEXT),))


def make_socket(path: Path) -> None:
    # A socket's path has 107 bytes at most; its name inside its own folder is short.
    here = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def make_sparse(size: int, path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(size)


def _names() -> Iterator[Case]:
    """Bad rows in files whose names are made to act on a terminal or on a path."""
    for name in (
        "a\nb.csv", "\x1b[2J.csv", "\x1b]0;owned\x07.csv", "\u202evsc.teehs", "-rf.csv", "--help.csv", "$(id).csv",
        "a b|c;d.csv", "[red]x[bold].csv", ":skull:.csv", "....csv", "con.csv", "x" * 250 + ".csv", "\udcff\udcfe.csv",
        "%s%n.csv", "{0}.csv",
    ):  # fmt: skip
        build = with_bytes(b"row_id,prompt,image\nr1,,good.png\n", name=name)
        yield Case(
            name=f"the sheet is called {ascii(name)[:40]}", build=build, said=(cell(Code.PROMPT_MISSING, "prompt"),)
        )


def _media() -> Iterator[Case]:
    """What a row may find where its picture or speech should be."""
    no_file, missing = Code.REFERENCE_NOT_A_FILE, Code.REFERENCE_MISSING
    for name, make, code in (
        ("a folder", Path.mkdir, no_file),
        ("a named pipe", os.mkfifo, no_file),
        ("a socket", make_socket, no_file),
        ("a link to a file outside", lambda path: path.symlink_to("/etc/passwd"), no_file),
        ("a link to a file beside it", lambda path: path.symlink_to("good.png"), no_file),
        ("a link in a circle", lambda path: path.symlink_to(path.name), no_file),
        ("a link to nothing", lambda path: path.symlink_to("nowhere"), no_file),
        ("a link to an endless device", lambda path: path.symlink_to("/dev/zero"), no_file),
        ("a link to this process's secrets", lambda path: path.symlink_to("/proc/self/environ"), no_file),
        ("not there", lambda path: None, missing),
    ):
        for column, file in (("image", "face.png"), ("audio", "a.wav")):
            said = cell(code, column, line=3, row_id="bad")
            yield Case(name=f"{column} is {name}", build=with_media(column, file, make), said=(said,))
    for column, size in (("image", 2**26 + 1), ("audio", 2**28 + 1), ("image", 2**40), ("audio", 2**40)):
        said = cell(Code.REFERENCE_TOO_LARGE, column, line=3, row_id="bad")
        build = with_media(column, "large.bin", partial(make_sparse, size))
        yield Case(name=f"{column} is a hole of {size} bytes", build=build, said=(said,))
    for column, code in (("image", Code.IMAGE_TYPE), ("audio", Code.AUDIO_TYPE)):
        said = cell(code, column, line=3, row_id="bad")
        build = with_media(column, "hole.bin", partial(make_sparse, 2**26))
        yield Case(name=f"{column} is a hole of 64 MB", build=build, said=(said,))
    yield Case(name="image below a linked folder", build=_linked_folder, said=(cell(no_file, "image"),))
    yield Case(name="image in a circle of folders", build=_folder_circle, said=(cell(no_file, "image"),))
    long = "/".join(["x" * 100] * 39)
    yield Case(name="image with a name too long", build=_row(image="x" * 300), said=(cell(missing, "image"),))
    yield Case(name="image with a path too long", build=_row(image=long), said=(cell(missing, "image"),))


def _row(**cells: str) -> Callable[[Path], Path]:
    return with_rows(good_row("r1", **cells))


def _linked_folder(folder: Path) -> Path:
    (folder / "etc").symlink_to("/etc")
    return _row(image="etc/passwd")(folder)


def _folder_circle(folder: Path) -> Path:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    return _row(image="a/face.png")(folder)


def _campaign_files() -> Iterator[Case]:
    """`campaign.toml` beside a good sheet."""
    for name, make, error in (
        ("is no TOML", b"model = ", "is not TOML"),
        ("is not UTF-8", b'model = "\xff\xfe"', "is not UTF-8"),
        ("is deep", b"placeholders = " + b"[" * 100_000, "is not TOML"),
        ("has a name of 100,000 parts", b"a" + b".a" * 100_000 + b" = 1", "is not TOML"),
        ("has a quoted name of 100,000 parts", b"x = {" + b'"a" . ' * 100_000 + b"a = 1}", "is not TOML"),
        ("has a name of a million letters", b"a" * 1_000_000 + b".a = 1", "no such setting"),
        ("has 50,000 names", b"".join(b"a%d.b = 1\n" % n for n in range(50_000)), "no such setting"),
        ("holds nuls", bytes(1_000), "is not TOML"),
        ("is a hole of a terabyte", partial(make_sparse, 2**40), "bytes"),
        ("is a named pipe", os.mkfifo, "regular file"),
        ("is a folder", Path.mkdir, "regular file"),
        ("is endless", lambda path: path.symlink_to("/dev/zero"), "regular file"),
        ("names no model", b'model = "../../etc/passwd"', "etc/passwd"),
        ("names no engine", b'engine = "$(id)"', "$(id)"),
        ("holds what is no number", b"guidance_text = nan", "finite"),
        ("holds a number of 5,000 digits", b"seed = " + b"9" * 5_000, "campaign.toml"),
        ("holds control characters", b'"\\u001b[2J" = 1', "no such setting"),
    ):
        yield Case(name=f"campaign.toml {name}", build=partial(_beside, make), said=(), error=error)


def _beside(make: bytes | Callable[[Path], object], folder: Path) -> Path:
    path = folder / "campaign.toml"
    if isinstance(make, bytes):
        path.write_bytes(make)
    else:
        make(path)
    return with_bytes(SHEET)(folder)
