"""From bytes to text: which encoding a manifest is in, and where it is damaged.

UTF-8 with or without byte order mark, UTF-16 with one, else Windows-1252. Damage never stops the reading of
a Unicode file: bytes that are no UTF-8 come through as surrogates (PEP 383), lone UTF-16 surrogates as themselves,
and `encode` gives back the very same bytes; the rows that hold them are reported.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from itertools import islice

from schemas.errors import InvalidManifest
from schemas.manifest.refusal import file_problem, refusal
from schemas.problem import Code

UTF8 = "utf-8"
UTF8_BOM = "utf-8-sig"
UTF16_LE = "utf-16-le"
UTF16_BE = "utf-16-be"
WINDOWS_1252 = "cp1252"

_BOMS = {UTF8_BOM: codecs.BOM_UTF8, UTF16_LE: codecs.BOM_UTF16_LE, UTF16_BE: codecs.BOM_UTF16_BE}

_SPOKEN = {
    UTF8: "UTF-8",
    UTF8_BOM: "UTF-8 with byte order mark",
    UTF16_LE: "UTF-16 (little endian)",
    UTF16_BE: "UTF-16 (big endian)",
    WINDOWS_1252: "Windows-1252, because it is not UTF-8",
}

_SAVE = "save the sheet as CSV UTF-8"

_MAGIC = (
    (b"PK\x03\x04", "a zip archive or a spreadsheet (xlsx, ods, numbers)"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet (xls)"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"RIFF", "sound or a picture"),
    (b"OggS", "sound"),
    (b"ID3", "sound"),
    (b"fLaC", "sound"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"SQLite format 3", "a database"),
    (b"{\\rtf", "a word processor's document (rtf)"),
)
_CONTROL_BYTES = bytes({*range(0x20)} - {*b"\t\n\r"})
_MOST_CONTROL_BYTES = 6
"""So many different control characters in its first kilobytes, and a file is no text in any one-byte encoding."""

_WEB_PAGE = re.compile(rb"\s*(<!doctype html|<html|<\?xml)", re.IGNORECASE)

DAMAGE = re.compile("[\x00\ud800-\udfff]")
"""NUL, bytes that are no UTF-8 (read as U+DC80 to U+DCFF) and lone UTF-16 surrogates."""

_UTF8_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_VALID_NON_ASCII = re.compile("[^\x00-\x7f\udc80-\udcff]")
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_LINE_END = re.compile("\r\n?|\n")
_LISTED = 20
"""How many bad bytes are listed before a reader has seen enough."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A manifest's text. `bom_bytes` stand before its first character; `byte_size` counts them."""

    text: str
    encoding: str
    bom_bytes: int
    byte_size: int

    @property
    def spoken(self) -> str:
        """The encoding as a person calls it."""
        return _SPOKEN[self.encoding]

    @property
    def unit(self) -> int | None:
        """Bytes of every character where all have the same number, else None."""
        width = 2 if self.encoding in (UTF16_LE, UTF16_BE) else 1
        return width if self.byte_size - self.bom_bytes == width * len(self.text) else None


def byte_order_mark(encoding: str) -> bytes:
    """What a file in this encoding begins with."""
    return _BOMS.get(encoding, b"")


def encode(text: str, encoding: str) -> bytes:
    """The bytes that `decode` read, byte order mark not included; damage comes out as it went in."""
    return text.encode(*_codec(encoding))


def decode_part(data: bytes, encoding: str) -> str:
    """The text of a part of a manifest that lies between whole characters."""
    return data.decode(*_codec(encoding))


def encode_shown(text: str, encoding: str) -> bytes:
    """Text of ours in a manifest's encoding; characters that it does not have become escapes such as `\\u017e`."""
    return text.encode(_codec(encoding)[0], "backslashreplace")


def _codec(encoding: str) -> tuple[str, str]:
    if encoding in (UTF16_LE, UTF16_BE):
        return encoding, "surrogatepass"
    return (UTF8 if encoding == UTF8_BOM else encoding), "surrogateescape"


def decode(data: bytes) -> Decoded:
    """The whole file as text.

    Raises:
        InvalidManifest: FILE_EMPTY, FILE_NOT_TEXT or ENCODING_INVALID, when no rows can be told apart at all.
    """
    _refuse_what_is_no_text(data)
    encoding = _detect(data)
    bom = len(byte_order_mark(encoding))
    text = decode_part(data[bom:] if bom else data, encoding)
    if not text or text.isspace():
        raise _refuse(Code.FILE_EMPTY, "the file is empty", "write a header line and at least one row")
    if encoding == WINDOWS_1252 and _ESCAPED_BYTE.search(text):
        raise _not_windows_1252(text)
    return Decoded(text=text, encoding=encoding, bom_bytes=bom, byte_size=len(data))


def is_damaged(text: str) -> bool:
    """Whether `DAMAGE` is anywhere in it."""
    # The first question is cheap, and answers for most sheets.
    return "\0" in text if text.isascii() else DAMAGE.search(text) is not None


def damage_name(character: str) -> str:
    """One character that `DAMAGE` found, in words."""
    number = ord(character)
    if number == 0:
        return "a NUL character"
    if 0xDC80 <= number <= 0xDCFF:
        return f"byte 0x{number - 0xDC00:02X} is no UTF-8"
    return f"half a character (lone surrogate U+{number:04X})"


def _refuse_what_is_no_text(data: bytes) -> None:
    for magic, name in _MAGIC:
        if data.startswith(magic):
            raise _refuse(Code.FILE_NOT_TEXT, f"the file is {name}, not text")
    if _WEB_PAGE.match(data[:1024]):
        raise _refuse(Code.FILE_NOT_TEXT, "the file is a web page or XML, not CSV")


def _detect(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise _refuse(Code.ENCODING_INVALID, "the file is UTF-32, which is not read")
    for encoding, bom in _BOMS.items():
        if data.startswith(bom):
            if encoding != UTF8_BOM and len(data) % 2:
                raise _refuse(
                    Code.ENCODING_INVALID,
                    f"the file is UTF-16 and ends in half a character at byte offset {len(data) - 1}: it is cut off",
                    "copy or export the file again",
                )
            return encoding
    _refuse_many_nuls(data)
    _refuse_many_controls(data)
    try:
        data.decode(UTF8)
    except UnicodeDecodeError:
        return UTF8 if _is_damaged_utf8(data) else WINDOWS_1252
    return UTF8


def _refuse_many_nuls(data: bytes) -> None:
    head = data[:4096]
    if head.count(0) * 10 <= len(head):
        return
    if min(head[0::2].count(0), head[1::2].count(0)) == 0:
        raise _refuse(Code.ENCODING_INVALID, "the file looks like UTF-16 but does not begin with a byte order mark")
    raise _refuse_binary()


def _refuse_many_controls(data: bytes) -> None:
    head = {*data[:4096]}
    if len(head.intersection(_CONTROL_BYTES)) > _MOST_CONTROL_BYTES:
        raise _refuse_binary()


def _refuse_binary() -> InvalidManifest:
    return _refuse(Code.FILE_NOT_TEXT, "the file holds binary data, not text")


def _is_damaged_utf8(data: bytes) -> bool:
    """True when what is valid UTF-8 outweighs what is not: reading it as Windows-1252 would garble the good rows."""
    if _UTF8_SURROGATE.search(data):
        return True
    text = data.decode(UTF8, "surrogateescape")
    good = sum(1 for _ in _VALID_NON_ASCII.finditer(text))
    return good > sum(1 for _ in _ESCAPED_BYTE.finditer(text))


def _not_windows_1252(text: str) -> InvalidManifest:
    return refusal(
        [
            file_problem(
                Code.ENCODING_INVALID,
                f"byte 0x{ord(match.group()) - 0xDC00:02X} at offset {match.start()} is neither UTF-8 nor Windows-1252",
                _SAVE,
                line=len(_LINE_END.findall(text, 0, match.start())) + 1,
            )
            for match in islice(_ESCAPED_BYTE.finditer(text), _LISTED)
        ]
    )


def _refuse(code: Code, message: str, fix: str = _SAVE) -> InvalidManifest:
    return refusal([file_problem(code, message, fix)])
