"""Sounds that are none, lie about themselves, or never end."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import soundfile

from schemas.problem import Code
from tests.support.hostile import Case, cell, with_media
from tests.support.hostile_pictures import zip_bomb
from tests.support.media_files import noise, wav_bytes, write_sound

Spec = tuple[str, str, bytes | Callable[[Path], object], Code]

CORRUPT, TYPE = Code.AUDIO_CORRUPT, Code.AUDIO_TYPE
ADDRESS = "http://127.0.0.1:9"


def sounds() -> Iterator[Case]:
    """Every hostile sound, each in the row `bad` on line 3."""
    for name, file, make, code in (*_no_sounds(), *_scripts(), *_cut_off(), *_wav(), *_mpeg(), *_ogg(), *_boxes()):
        said = cell(code, "audio", line=3, row_id="bad")
        yield Case(name=f"sound: {name}", build=with_media("audio", file, make), said=(said,))


def _no_sounds() -> Iterator[Spec]:
    for name, data in (
        ("text", b"this is a letter and no song"),
        ("midi", b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk" + bytes(40)),
        ("aiff", _with_soundfile("AIFF")),
        ("au", _with_soundfile("AU")),
        ("caf", _with_soundfile("CAF")),
        ("w64", _with_soundfile("W64")),
        ("matroska", b"\x1aE\xdf\xa3" + bytes(400)),
        ("asf", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(400)),
        ("avi", b"RIFF\0\1\0\0AVI LIST" + bytes(400)),
        ("amr", b"#!AMR\n" + bytes(400)),
        ("sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=audio 9 RTP/AVP 0\n"),
        ("zip bomb", zip_bomb()),
        ("html", b"<!doctype html><audio src=x>"),
        ("nuls", bytes(100_000)),
    ):
        yield f"{name} called wav", "a.wav", data, TYPE
    yield "nothing", "a.wav", b"", CORRUPT
    yield "one byte", "a.wav", b"R", TYPE


def _with_soundfile(kind: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, noise(0.5), 16_000, format=kind, subtype="PCM_16")
    return stream.getvalue()


SCRIPTS = (
    ("ffconcat", "ffconcat version 1.0\nfile good.png\nfile ../a.wav\n"),
    ("ffconcat of an address", f"ffconcat version 1.0\nfile {ADDRESS}/a.wav\n"),
    ("ffconcat of a device", "ffconcat version 1.0\nfile /dev/zero\n"),
    ("hls", f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{ADDRESS}/a.ts\n#EXT-X-ENDLIST\n"),
    ("hls with a key", f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{ADDRESS}/k"\n#EXTINF:9,\nfile:///etc/passwd\n'),
    ("dash", f'<?xml version="1.0"?><MPD><BaseURL>{ADDRESS}/</BaseURL></MPD>'),
    ("pls", f"[playlist]\nFile1={ADDRESS}/a.wav\n"),
    ("a subtitle script", "concat:/etc/passwd|a.wav\nsubfile,,start,0,end,9,,:/etc/passwd\n"),
    ("a filter script", "amovie=/etc/passwd,volume=1\n"),
)
HEADS = (
    ("id3", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)),
    ("riff", b"RIFF\xff\xff\0\0WAVE"),
    ("ogg", b"OggS"),
    ("flac", b"fLaC"),
    ("mpeg", b"\xff\xfb\x90\0"),
    ("mp4", b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42"),
    ("adts", b"\xff\xf1"),
)


def _scripts() -> Iterator[Spec]:
    """Scripts that a demuxer would follow: under a sound's name, and behind a sound's first bytes."""
    for name, text in SCRIPTS:
        yield f"{name} script called mp3", "a.mp3", text.encode(), TYPE
    both = "\n" + SCRIPTS[0][1] + SCRIPTS[3][1]
    for name, head in HEADS:
        yield f"scripts behind the first bytes of {name}", "a.mp3", head + both.encode() * 40, CORRUPT


@cache
def encoded(suffix: str, codec: str = "", kind: str = "", seconds: float = 3.0) -> bytes:
    """A good speech file of that kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"s{suffix}"
        rate = 48_000 if codec == "libopus" else 16_000
        return write_sound(path, noise(seconds, rate), rate, codec=codec, kind=kind).read_bytes()


def _cut_off() -> Iterator[Spec]:
    for suffix, codec, kind, code in (
        (".wav", "", "", Code.AUDIO_LENGTH_MISMATCH),
        (".flac", "", "", CORRUPT),
        (".mp3", "libmp3lame", "mp3", Code.AUDIO_LENGTH_MISMATCH),
        (".m4a", "aac", "ipod", CORRUPT),
    ):
        whole = encoded(suffix, codec, kind)
        for share in (0.3, 0.6):
            yield f"{suffix} cut off at {share:.0%}", f"a{suffix}", whole[: int(len(whole) * share)], code
        head = encoded(suffix, codec, kind)[:30]
        yield f"thirty bytes of {suffix}", f"a{suffix}", head, CORRUPT
        torn = bytes(b ^ 0x5A if n > 200 else b for n, b in enumerate(whole))
        if suffix != ".wav":
            said = Code.AUDIO_LENGTH_MISMATCH if suffix == ".flac" else CORRUPT
            yield f"noise behind the head of {suffix}", f"a{suffix}", torn, said


def _wav() -> Iterator[Spec]:
    loud, mismatch = wav_bytes(16_000), Code.AUDIO_LENGTH_MISMATCH
    for name, data, code in (
        ("says 10 s, holds 0.1", wav_bytes(1_600, claimed=160_000), mismatch),
        ("says 10 hours, holds 1 s", wav_bytes(16_000, claimed=576_000_000), mismatch),
        ("without samples", wav_bytes(0), Code.AUDIO_TOO_SHORT),
        ("of 0.19 s", wav_bytes(3_040), Code.AUDIO_TOO_SHORT),
        ("of 2.1 GHz", wav_bytes(16_000, rate=2_100_000_000), Code.AUDIO_RATE),
        ("of 4.29 GHz", wav_bytes(16_000, rate=2**32 - 1), CORRUPT),
        ("of 0 Hz", wav_bytes(16_000, rate=0), CORRUPT),
        ("of 7,999 Hz", wav_bytes(16_000, rate=7_999), Code.AUDIO_RATE),
        ("of 192,001 Hz", wav_bytes(96_000, rate=192_001), Code.AUDIO_RATE),
        ("of 9 channels", wav_bytes(16_000, channels=9), Code.AUDIO_CHANNELS),
        ("of 64 channels", wav_bytes(4_000, channels=64), Code.AUDIO_CHANNELS),
        ("of 65,535 channels", loud[:22] + b"\xff\xff" + loud[24:], CORRUPT),
        ("of no channel", loud[:22] + b"\0\0" + loud[24:], CORRUPT),
        ("with mp3 inside", wav_bytes(16_000, tag=0x55), TYPE),
        ("with an unknown codec inside", wav_bytes(16_000, tag=0x1234), TYPE),
        ("of silence", loud[:44] + bytes(32_000), Code.AUDIO_SILENT),
        ("of a single click", loud[:44] + bytes(16_000) + b"\x01\0" + bytes(15_998), Code.AUDIO_SILENT),
        ("of 0 bits", loud[:34] + b"\0\0" + loud[36:], TYPE),
        ("whose parts repeat", loud[:12] + b"junk\0\0\0\0" * 500_000, CORRUPT),
        ("whose first part is 4 GB", loud[:12] + b"LIST\xff\xff\xff\xff" + loud[12:], CORRUPT),
        ("that ends in its head", loud[:40], CORRUPT),
        ("RF64 that says 2^63 bytes", _rf64(), mismatch),
    ):
        yield f"wav {name}", "a.wav", data, code
    yield "eleven minutes", "a.wav", partial(_write_long, 660), Code.AUDIO_TOO_LONG
    for name, value in (("NaN", np.nan), ("infinite", np.inf), ("-infinite", -np.inf)):
        yield f"float wav with a sample {name}", "a.wav", partial(_write_float, value), CORRUPT


def _rf64() -> bytes:
    sizes = struct.pack("<QQQI", 2**63 - 1, 2**63 - 1, 2**60, 0)
    chunks = b"ds64" + struct.pack("<I", len(sizes)) + sizes + wav_bytes(16_000)[12:36]
    return b"RF64\xff\xff\xff\xffWAVE" + chunks + b"data\xff\xff\xff\xff" + wav_bytes(16_000)[44:]


def _write_long(seconds: int, path: Path) -> None:
    path.write_bytes(wav_bytes(1, rate=8_000, claimed=8_000 * seconds)[:44] + noise_bytes() * seconds)


@cache
def noise_bytes() -> bytes:
    """A second of 8 kHz, 16 bits."""
    return (noise(1.0, 8_000) * 30_000).astype("<i2").tobytes()


def _write_float(value: float, path: Path) -> None:
    samples = noise(1.0)
    samples[5_000] = value
    soundfile.write(path, samples, 16_000, subtype="FLOAT")


def _mpeg() -> Iterator[Spec]:
    tag = b"ID3\x04\0\0"
    for name, data, code in (
        ("tag alone", tag + b"\0\0\0\x0a" + bytes(10), CORRUPT),
        ("tag and nuls", tag + b"\0\0\0\x0a" + bytes(4_000), CORRUPT),
        ("tag of 256 MB that is not there", tag + b"\x7f\x7f\x7f\x7f" + bytes(100), CORRUPT),
        ("tag in a tag", (tag + b"\0\0\0\x0a") * 200_000, CORRUPT),
        ("empty frames", b"\xff\xfb\x90\0" * 250_000, CORRUPT),
        ("one sync word", b"\xff\xfb", CORRUPT),
        ("adts of nothing", b"\xff\xf1\x50\x80\0\x1f\xfc" * 100_000, CORRUPT),
    ):
        yield f"mpeg, {name}", "a.mp3", data, code
    yield "mpeg, tag of 200 MB that is there", "a.mp3", _write_large_tag, CORRUPT


def _write_large_tag(path: Path) -> None:
    """A sparse file: the tag costs nothing but the reading."""
    size = 200 << 20
    with path.open("wb") as stream:
        stream.write(b"ID3\x04\0\0" + bytes((size >> shift) & 127 for shift in (21, 14, 7, 0)))
        stream.truncate(10 + size)


def _ogg() -> Iterator[Spec]:
    vorbis = _with_ogg("VORBIS")
    yield "ogg of pages without an end", "a.ogg", vorbis[: len(vorbis) // 2] + _page(b"", 0) * 100_000, CORRUPT
    yield "ogg of a hundred streams", "a.ogg", b"".join(_page(b"\x01vorbis", n, 2) for n in range(100)), CORRUPT
    yield "ogg of a million tiny packets", "a.ogg", _tiny_packets, CORRUPT
    yield "ogg page of nothing", "a.ogg", _page(b"", 1, 2), CORRUPT
    yield "ogg with an unknown codec", "a.ogg", _page(b"Speex   1.2" + bytes(69), 1, 2), CORRUPT
    flac = encoded(".flac")
    yield "flac whose block is 16 MB", "a.flac", flac[:4] + b"\x06\xff\xff\xff" + flac[8:], CORRUPT
    yield "flac of empty blocks", "a.flac", flac[:42] + b"\x01\0\0\0" * 500_000, CORRUPT
    yield "flac that says 2^36 samples", "a.flac", flac[:21] + b"\xff" * 5 + flac[26:], Code.AUDIO_LENGTH_MISMATCH


def _with_ogg(subtype: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, noise(1.0), 16_000, format="OGG", subtype=subtype)
    return stream.getvalue()


def _page(packet: bytes, number: int, flags: int = 0) -> bytes:
    """One Ogg page (RFC 3533) of one packet; its checksum is the polynomial 04c11db7, not reflected."""
    head = struct.pack("<4sBBqIIIBB", b"OggS", 0, flags, 0, number, 0, 0, 1, len(packet))
    checksum = _ogg_crc(head + packet)
    return head[:22] + struct.pack("<I", checksum) + head[26:] + packet


def _ogg_crc(data: bytes) -> int:
    state = 0
    for byte in data:
        state ^= byte << 24
        for _ in range(8):
            state = (state << 1 ^ 0x04C11DB7 if state & 0x80000000 else state << 1) & 0xFFFFFFFF
    return state


def _tiny_packets(path: Path) -> None:
    """Opus packets of one byte, 255 in a page: each says 2.5 ms of nothing."""
    head = _page(b"OpusHead\1\1\0\0\x80\xbb\0\0\0\0\0", 7, 2) + _page(b"OpusTags" + bytes(8), 7)
    page = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, 7, 1, 0, 255) + b"\1" * 255 + b"\xff" * 255
    page = page[:22] + struct.pack("<I", _ogg_crc(page)) + page[26:]
    path.write_bytes(head + page * 4_000)


def _boxes() -> Iterator[Spec]:
    """M4A: boxes in boxes."""
    top = b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42"
    whole = encoded(".m4a", "aac", "ipod")
    for name, data in (
        ("without an index", top + _box(b"mdat", bytes(1_000))),
        ("with an empty index", top + _box(b"moov", b"")),
        ("with a box of 2^64 bytes", top + b"\0\0\0\1moov" + b"\xff" * 8),
        ("with a box of 3 bytes", top + b"\0\0\0\3moov" + bytes(100)),
        ("with ten thousand boxes in boxes", top + _nested(10_000)),
        ("with half a million boxes", top + b"\0\0\0\x08free" * 500_000),
        (
            "with a table of 2^32 entries",
            whole.replace(b"stsz\0\0\0\0\0\0\0\0", b"stsz\0\0\0\0\0\0\0\0\xff\xff\xff\xff"),
        ),
    ):
        yield f"m4a {name}", "a.m4a", data, CORRUPT


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def _nested(depth: int) -> bytes:
    return b"".join(struct.pack(">I", 8 * (depth - n)) + b"moov" for n in range(depth))
