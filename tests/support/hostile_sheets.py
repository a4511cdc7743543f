"""Sheets as nobody should send them: encodings, quotes, headers, cells."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import pickle
import sqlite3
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial

from schemas.problem import Code
from tests.support.hostile import Case, Content, Said, cell, good_row, sheet_bytes, whole, with_bytes, with_rows

HEADER = "row_id,prompt,image,audio\n"
GOOD = "good,A woman speaks,good.png,\n"
BOM = codecs.BOM_UTF8


def sheets() -> Iterator[Case]:
    """Every hostile sheet; media are not their point."""
    yield from _encodings()
    yield from _other_formats()
    yield from _headers()
    yield from _quotes()
    yield from _sizes()
    yield from _cells()
    yield from _groups()


def case(name: str, data: Content, *said: Said, options: tuple[str, ...] = ()) -> Case:
    return Case(name=name, build=with_bytes(data), said=said, options=options)


def _encodings() -> Iterator[Case]:
    text = HEADER + GOOD
    for codec in ("utf-16-le", "utf-16-be"):
        yield case(f"{codec} without a mark", text.encode(codec), whole(Code.ENCODING_INVALID))
    for codec, mark in (("utf-32-le", codecs.BOM_UTF32_LE), ("utf-32-be", codecs.BOM_UTF32_BE)):
        yield case(codec, mark + text.encode(codec), whole(Code.ENCODING_INVALID))
    utf16 = codecs.BOM_UTF16_LE + text.encode("utf-16-le")
    yield case("utf-16 cut off in a character", utf16[:-1], whole(Code.ENCODING_INVALID))
    lone = (HEADER + "r1,half \ud83d a character,good.png,\n").encode("utf-16-le", "surrogatepass")
    yield case("utf-16 lone surrogate", codecs.BOM_UTF16_LE + lone, cell(Code.ENCODING_INVALID, "prompt"))
    for name, bad in (
        ("surrogates in utf-8", b"\xed\xa0\xbd"),
        ("overlong slash", b"\xc0\xaf"),
        ("cut off utf-8", b"\xe4\xb8"),
        ("code point beyond unicode", b"\xf5\x80\x80\x80"),
        ("lone continuation", b"\x80"),
    ):
        row = "r1,çà и 日本 ".encode() + bad + b",good.png,\n"
        yield case(name, HEADER.encode() + row, cell(Code.ENCODING_INVALID, "prompt"))
    yield case(
        "overlong dots in a reference",
        HEADER.encode() + "r1,çà и 日本,".encode() + b"\xc0\xae\xc0\xae/x.png,\n",
        cell(Code.ENCODING_INVALID, "image"),
        cell(Code.REFERENCE_SCHEME, "image"),
    )
    yield case(
        "no code page", HEADER.encode() + b"r1,caf\xe9 \x81\x8d,good.png,\n", *2 * (whole(Code.ENCODING_INVALID, 2),)
    )
    for name, row, column in (
        ("prompt", "r1,a\0b,good.png,\n", "prompt"),
        ("extra cell", "r1,ab,good.png,\0\n", "audio"),
    ):
        extra = (cell(Code.REFERENCE_SCHEME, "audio"),) if column == "audio" else ()
        yield case(f"nul in {name}", HEADER + row, cell(Code.NUL_BYTE, column), *extra)
    yield case(
        "nul in row_id",
        HEADER + "r\x001,ab,good.png,\n",
        cell(Code.NUL_BYTE, "row_id", row_id=""),
        cell(Code.ROW_ID_INVALID, "row_id", row_id=""),
    )
    yield case("nul in the header", "row_id,prompt,im\0age,audio\nr1,a,b.png,\n", whole(Code.NUL_BYTE, 1))
    yield case("all nul", bytes(100_000), whole(Code.FILE_NOT_TEXT))
    yield case("nothing", b"", whole(Code.FILE_EMPTY))
    yield case("blanks", b" \n\t\r\n  ", whole(Code.FILE_EMPTY))
    yield case("utf-8 mark alone", BOM, whole(Code.FILE_EMPTY))
    yield case("utf-16 mark alone", codecs.BOM_UTF16_BE, whole(Code.FILE_EMPTY))
    yield case("two marks", BOM + BOM + text.encode(), whole(Code.COLUMN_MISSING, 1, "row_id"))
    yield case("mainframe", text.encode("cp500"), *4 * (whole(Code.ENCODING_INVALID, 1),))


def _other_formats() -> Iterator[Case]:
    """What people call .csv."""
    for name, data in _foreign():
        yield case(f"a {name} called csv", data, whole(Code.FILE_NOT_TEXT))
    yield case("json", json.dumps([{"row_id": "a", "prompt": "b"}]), *2 * (whole(Code.QUOTE_MISPLACED, 1),))
    yield case("a script", "#!/bin/sh\nrm -rf /\n", whole(Code.DELIMITER_UNKNOWN, 1))
    yield case("prose", "Dear Sir or Madam\nplease find enclosed\n", whole(Code.DELIMITER_UNKNOWN, 1))
    yield case("yaml", "---\n- row_id: a\n  prompt: b\n", whole(Code.DELIMITER_UNKNOWN, 1))
    yield case(
        "control delimiters", "row_id\x01prompt\x01image\nr1\x01a\x01good.png\n", whole(Code.DELIMITER_UNKNOWN, 1)
    )


def _foreign() -> Iterator[tuple[str, bytes]]:
    text = (HEADER + GOOD).encode()
    for name, member in (("zip", "sheet.csv"), ("xlsx", "xl/worksheets/sheet1.xml"), ("ods", "content.xml")):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(zipfile.ZipInfo(member), text)
        yield name, stream.getvalue()
    yield "gzip", gzip.compress(text, mtime=0)
    yield "gzip bomb", gzip.compress(bytes(32 << 20), mtime=0)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("sheet.csv")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    yield "tar", stream.getvalue()
    yield "pickle", pickle.dumps({n: (bytes(range(n)), n, -n, 1.5) for n in range(40)}, protocol=4)
    connection = sqlite3.connect(":memory:")
    connection.execute("create table sheet (row_id, prompt)")
    yield "database", connection.serialize()
    connection.close()
    for name, head in (
        ("xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        ("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
        ("png", b"\x89PNG\r\n\x1a\n"),
        ("jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF"),
        ("gif", b"GIF89a"),
        ("webp", b"RIFF\x10\0\0\0WEBP"),
        ("wav", b"RIFF\x10\0\0\0WAVE"),
        ("ogg", b"OggS\0\2"),
        ("mp3", b"ID3\4\0\0"),
        ("flac", b"fLaC\0\0\0\x22"),
        ("7z", b"7z\xbc\xaf\x27\x1c"),
        ("xz", b"\xfd7zXZ\0"),
        ("bzip2", b"BZh91AY&SY"),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("elf", b"\x7fELF\2\1\1\0"),
        ("parquet", b"PAR1\x15\4\x15"),
        ("mp4", b"\0\0\0\x20ftypisom"),
        ("rtf", b"{\\rtf1\\ansi row_id,prompt}"),
        ("html", b"<!DOCTYPE html><table><tr><td>row_id,prompt"),
        ("xml", b"\n <?xml version='1.0'?><rows a='1,2'/>"),
    ):
        tail = b"" if name in {"rtf", "html", "xml"} else bytes(range(256)) * 4
        yield name, head + tail


def _headers() -> Iterator[Case]:
    yield case("no header", "r1,A woman speaks,good.png,\nr2,b,good.png,\n", whole(Code.HEADER_MISSING, 1))
    yield case("header alone", HEADER, whole(Code.NO_ROWS))
    yield case("header and blank rows", HEADER + ",,,\n\n  \n,,,\n", whole(Code.NO_ROWS))
    for name, header, column in (
        ("two prompts", "row_id,prompt,image,prompt\n", "prompt"),
        ("two of the author's", "row_id,prompt,image,a,a\n", "a"),
    ):
        yield case(f"header with {name}", header + "r1,x,good.png,y\n", whole(Code.HEADER_DUPLICATE, 1, column))
    yield case("header without a name", "row_id,prompt,,image\nr1,a,b,good.png\n", whole(Code.HEADER_EMPTY, 1))
    yield case("no row_id", "prompt,image\na,good.png\n", whole(Code.COLUMN_MISSING, 1, "row_id"))
    yield case("no prompt", "row_id,image\nr1,good.png\n", whole(Code.COLUMN_MISSING, 1, "prompt"))
    capitals = (whole(Code.COLUMN_MISSING, 1, "row_id"), whole(Code.COLUMN_MISSING, 1, "prompt"))
    yield case("capitals", "ROW_ID,Prompt,image\nr1,a,good.png\n", *capitals)
    yield case(
        "header of a million names",
        lambda: b",".join([b"row_id,prompt"] + [b"c"] * 1_000_000),
        whole(Code.HEADER_MISSING, 1),
    )
    yield case("header of a million commas", b"," * 1_000_000, whole(Code.HEADER_MISSING, 1))
    yield case("open quote in the header", 'row_id,"prompt,image\nr1,a,good.png\n', whole(Code.QUOTE_UNTERMINATED, 1))
    yield case("text behind a quote in the header", 'row_id,"prompt"x,image\nr1,a,b\n', whole(Code.QUOTE_MISPLACED, 1))
    yield case("nothing but a quote", '"', whole(Code.DELIMITER_UNKNOWN, 1))
    yield case("formulas as header", "=row_id,@prompt,+image\nr1,a,good.png\n", *capitals)
    mapped = whole(Code.COLUMN_UNKNOWN_MAP, 1, "prompt")
    yield case("mapping of no column", HEADER + GOOD, mapped, options=("--map", "text=prompt"))
    yield case("delimiter of two", HEADER + GOOD, whole(Code.DELIMITER_UNKNOWN), options=("--delimiter", ",,"))
    yield case("separator line alone", "sep=,\n", whole(Code.HEADER_MISSING, 1))
    yield case("bidi in the header", "row_id,prompt,\u202egpj.egami\nr1,a,good.png\n", cell(Code.MODE_UNKNOWN, "mode"))


def _quotes() -> Iterator[Case]:
    ragged = cell(Code.ROW_RAGGED, "")
    yield case(
        "open quote in the last row",
        HEADER + GOOD + 'r1,"never closed,good.png,\n',
        cell(Code.QUOTE_UNTERMINATED, "prompt", line=3),
    )
    yield case(
        "open quote before good rows",
        HEADER + 'r1,"never closed,good.png,\n' + GOOD,
        cell(Code.QUOTE_UNTERMINATED, "prompt"),
    )
    yield case(
        "open quote in row_id",
        HEADER + '"r1,a,good.png,\n' + GOOD,
        cell(Code.QUOTE_UNTERMINATED, "row_id", row_id=""),
    )
    yield case("text behind a quote", HEADER + 'r1,"a"b,good.png,\n', cell(Code.QUOTE_MISPLACED, "prompt"))
    yield case("blank before a quote", HEADER + 'r1, "a, b",good.png,\n', cell(Code.QUOTE_MISPLACED, "prompt"))
    yield case("short row", HEADER + "r1,a\n" + GOOD, ragged)
    yield case("long row", HEADER + "r1,a,good.png,,,,\n" + GOOD, ragged)
    yield case("long row of a million cells", HEADER + "r1" + "," * 1_000_000 + "\n" + GOOD, ragged)
    yield case(
        "open quotes in 500 rows, which close each other",
        HEADER + "".join(f'r{n},"open {n},good.png,\n' for n in range(1, 1001, 2)),
        *(cell(Code.QUOTE_MISPLACED, "prompt", line=n + 2, row_id=f"r{2 * n + 1}") for n in range(0, 500, 2)),
    )
    yield case(
        "open quote before a hundred thousand lines",
        lambda: HEADER + 'r1,"open,good.png,\n' + "x\n" * 100_000,
        *(cell(code, "prompt") for code in (Code.QUOTE_UNTERMINATED, Code.CELL_TOO_LONG)),
    )
    yield case(
        "a million quotes",
        lambda: HEADER + "r1," + '"' * 1_000_001 + ",good.png,\n",
        *(cell(code, "prompt") for code in (Code.QUOTE_UNTERMINATED, Code.CELL_TOO_LONG)),
    )
    long = (cell(Code.CELL_TOO_LONG, "prompt"), cell(Code.PROMPT_TOO_LONG, "prompt"))
    yield case(
        "quotes and blanks",
        lambda: HEADER + "r1," + ' "' * 200_000 + ",good.png,\n",
        *(2 * (cell(Code.QUOTE_MISPLACED, "prompt"),)),
        *long,
    )
    yield case(
        "carriage returns only", HEADER.replace("\n", "\r") + "r1,,good.png,\r", cell(Code.PROMPT_MISSING, "prompt")
    )
    yield case("next-line characters as line ends", HEADER.replace("\n", "\x85") + GOOD, whole(Code.HEADER_EMPTY, 1))


def _sizes() -> Iterator[Case]:
    """Large texts are made when they are needed: what lies about in memory would be counted."""
    note, prompt = "row_id,prompt,image,note\nr1,a,good.png,", HEADER + "r1,"
    for size in (40_000, 10_000_000):
        said = cell(Code.CELL_TOO_LONG, "note")
        yield case(f"a cell of {size:,}", lambda size=size: f"{note}{'x' * size}\n", said)
    long = cell(Code.PROMPT_TOO_LONG, "prompt")
    both = (cell(Code.CELL_TOO_LONG, "prompt"), long)
    yield case("a prompt of 4,001", f"{prompt}{'x' * 4_001},good.png,\n", long)
    yield case("a prompt of a million", lambda: f"{prompt}{'x' * 1_000_000},good.png,\n", *both)
    yield case("a prompt of joined emoji", lambda: f"{prompt}{'👩🚀' * 34_000},good.png,\n", *both)
    yield case("one line of twenty million", lambda: b"x" * 20_000_000, whole(Code.DELIMITER_UNKNOWN, 1))
    yield case("too many rows", lambda: HEADER + "r,a,b,\n" * 200_001, whole(Code.TOO_MANY_ROWS))
    yield case("a hundred million line ends", lambda: HEADER.encode() + b"\n" * 10**8, whole(Code.TOO_MANY_ROWS))
    commas = b"," * 1000 + b"\n"
    yield case("blank rows of a million cells", lambda: HEADER.encode() + commas * 1_000, whole(Code.NO_ROWS))
    yield case("sixty million commas", lambda: HEADER.encode() + commas * 60_000, whole(Code.FILE_TOO_LARGE))
    swelling = "{{a}}" * 6_500
    header = "row_id,prompt,image,a,negative_prompt\nr1,"
    yield case("a prompt that swells", f"{header}{swelling},good.png,{'x' * 32_000},\n", long)
    said = cell(Code.PROMPT_TOO_LONG, "negative_prompt")
    yield case("a negative prompt that swells", f"{header}a,good.png,{'😀' * 32_000},{swelling}\n", said)
    many = "".join(f"{{{{a{n}}}}}" for n in range(500))
    said = cell(Code.PLACEHOLDER_UNKNOWN, "prompt")
    yield case("a prompt of 500 unknown placeholders", f"{header}{many},good.png,,\n", *20 * (said,))


def _cells() -> Iterator[Case]:
    """One bad cell in a sheet of one row."""
    for number, (column, text, code) in enumerate(_bad_cells()):
        row = good_row("r1") | {column: text}
        name = "".join(c if c.isalnum() and c.isascii() else "_" for c in text[:20])
        said = cell(code, column, row_id="" if column == "row_id" else "r1")
        yield Case(name=f"{column} {number} {name}", build=with_rows(row), said=(said,))
    both = {"width": "256", "height": ""}
    yield Case(
        name="width without height", build=with_rows(good_row("r1", **both)), said=(cell(Code.SIZE_INVALID, "height"),)
    )
    yield Case(
        name="a duration beside sound",
        build=with_rows(good_row("r1", audio="none.wav", duration="3")),
        said=(cell(Code.DURATION_WITH_AUDIO, "duration"), cell(Code.REFERENCE_MISSING, "audio")),
    )
    yield Case(
        name="a mode without its sound",
        build=with_rows(good_row("r1", mode="TIA")),
        said=(cell(Code.MODE_MISMATCH, "audio"),),
    )
    yield Case(
        name="nothing to show or to hear",
        build=with_rows(good_row("r1", image="")),
        said=(cell(Code.MODE_UNKNOWN, "mode"),),
    )


def _bad_cells() -> Iterator[tuple[str, str, Code]]:
    for text in _BAD_IDS:
        yield "row_id", text, Code.ROW_ID_INVALID
    for text in _INVISIBLE_IDS:
        yield "row_id", text, Code.TEXT_CONTROL_CHARACTER
    yield "row_id", "", Code.ROW_ID_MISSING
    for column, code, texts in _BAD_TEXTS:
        for text in texts:
            yield column, text, code
    for count in (13, 3_000):
        yield "image", "|".join(["good.png"] * count), Code.REFERENCES_TOO_MANY


_BAD_IDS = (
    *[
        "../../etc/passwd",
        "..",
        ".",
        "a/b",
        "a\\b",
        "%2e%2e",
        "_line-7",
        "r\u0430w",
        "\uff52\uff11",
        "👩",
        "r\u200d1",
        "=1+1",
        "-r;rm",
        "$(id)",
        "`id`",
        "1E+05",
        "#REF!",
    ],
    *("a b", "x" * 65, "r" * 30_000),
)
_INVISIBLE_IDS = ("\u202er1", "a\nb", "r1\x1b[2J")
_BAD_TEXTS: tuple[tuple[str, Code, tuple[str, ...] | list[str]], ...] = (
    ("prompt", Code.PROMPT_MISSING, ("", "   ", '"', '""', "___", "#NAME?", "#REF!")),
    ("prompt", Code.TEXT_CONTROL_CHARACTER, ("a\x1b[2Jb", "a\x07", "a\x7f", "a\x9b31m", "\x01")),
    ("prompt", Code.PLACEHOLDER_UNKNOWN, ("{{nobody}}", "{{ __class__ }}", "{{prompt.__class__}}", "{{0}}")),
    ("prompt", Code.PLACEHOLDER_MALFORMED, ["{{", "}}", "{{}}", "{{a", "a}}", "{{{prompt}}}", "{{prompt}}"]),
    ("seed", Code.SEED_INVALID, f"-1 {2**63} {'9' * 5_000} 1e3 NaN 0x10 1_000 =1 1,000 --1 #N/A".split()),
    ("seed", Code.SEED_INVALID, ("\u0661\u0662", "\uff11", "7 000")),
    (
        "duration",
        Code.DURATION_INVALID,
        f"inf nan -1 0 1e400 601 3,5 0.0000000001 =2 \u0663 {'9' * 400} #DIV/0!".split(),
    ),
    ("priority", Code.PRIORITY_INVALID, f"1001 -1001 high 1.5 \u221e {'9' * 39}".split()),
    (
        "not_before",
        Code.NOT_BEFORE_INVALID,
        ("2031-05-17T08:00", "2031-02-30T00:00Z", "0001-01-01T00:00Z", "47500.5"),
    ),
    (
        "not_before",
        Code.NOT_BEFORE_INVALID,
        f"2031-05-17T08:00+99:99 9999-12-31T23:59Z tomorrow {'9' * 30_000}".split(),
    ),
    ("shot", Code.SHOT_INVALID, f"first 1.0 {2**70} NaN".split()),
    ("video", Code.VIDEO_INVALID, ("../x", "..", "a/b", "con\\x", "x" * 65, "_line-2", "na\u00efve", "=v")),
    ("video", Code.TEXT_CONTROL_CHARACTER, ("a\tbc", "\u202ev")),
    ("mode", Code.MODE_UNKNOWN, ("TIAA", "T", "📷", "TIA;DROP")),
    ("consent_ref", Code.TEXT_CONTROL_CHARACTER, ("contract\u202e7", "\ufeffx", "a\u2028b", "a\x1bc")),
)


def _groups() -> Iterator[Case]:
    """What shows only when rows are seen together."""

    def twice(code: Code, column: str, *ids: str) -> tuple[Said, ...]:
        return tuple(cell(code, column, line=n, row_id=row_id) for n, row_id in enumerate(ids, start=2))

    same = [good_row("r1"), good_row("r1"), good_row("r2")]
    yield Case(
        name="two rows of one id", build=with_rows(*same), said=twice(Code.ROW_ID_DUPLICATE, "row_id", "r1", "r1")
    )
    shots = [good_row(row_id, video="v", shot="1") for row_id in ("r1", "r2")]
    yield Case(name="two first shots", build=with_rows(*shots), said=twice(Code.SHOT_DUPLICATE, "shot", "r1", "r2"))
    clash = [good_row("r1", video="r2"), good_row("r2", video="")]
    yield Case(name="a video called like a row", build=with_rows(*clash), said=twice(Code.VIDEO_INVALID, "video", "r1"))
    sizes = [good_row(f"r{n}", video="v", width=str(256 * n), height="256") for n in (1, 2)]
    yield Case(
        name="two sizes in one video",
        build=with_rows(*sizes),
        said=(cell(Code.VIDEO_SIZE_MIXED, "width", line=3, row_id="r2"),),
    )
    odd = good_row("r1", width="255", height="256")
    yield Case(name="a size off the grid", build=with_rows(odd), said=(cell(Code.SIZE_UNSUPPORTED, "width"),))
    many = [good_row(f"r{n}", seed="x") for n in range(20_000)]
    yield Case(
        name="twenty thousand bad rows",
        build=with_bytes(partial(sheet_bytes, many)),
        said=tuple(cell(Code.SEED_INVALID, "seed", line=n + 2, row_id=f"r{n}") for n in range(20_000)),
    )
