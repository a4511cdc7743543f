"""Sound files that lie about themselves: nothing but their own bytes is ever read, and nobody is called."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.ffmpeg import FfmpegFailed, file_url, guarded, run_ffmpeg
from media.speech import check_speech, normalise_speech
from schemas.errors import InvalidMedia
from schemas.problem import Code
from schemas.settings import Limits
from tests.support.media_files import HitCounter, noise, wav_bytes, write_sound

LIMITS = Limits()
ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)


def playlist(url: str) -> str:
    """HLS that names one address."""
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}/a.ts\n#EXT-X-ENDLIST\n"


def code_of(path: Path) -> Code:
    with pytest.raises(InvalidMedia) as checked:
        check_speech(path, LIMITS)
    with pytest.raises(InvalidMedia) as normalised:
        normalise_speech(path, path.with_name("out.wav"))
    assert not path.with_name("out.wav").exists()
    assert normalised.value.code == checked.value.code
    return checked.value.code


@pytest.mark.parametrize("name", ["speech.mp3", "speech.wav", "speech.m4a", "speech.ogg", "speech.flac"])
def test_a_playlist_reads_no_sibling_and_calls_nobody(tmp_path: Path, name: str, hit_counter: HitCounter) -> None:
    """An ffconcat or HLS script is no sound, whatever it is called."""
    write_sound(tmp_path / "victim.wav", noise(1.0), 16_000)
    for script in (
        "ffconcat version 1.0\nfile victim.wav\n",
        f"ffconcat version 1.0\nfile {hit_counter.url}/a.wav\n",
        playlist(hit_counter.url),
        f"[playlist]\nFile1={hit_counter.url}/a.wav\n",
    ):
        (tmp_path / name).write_text(script)
        assert code_of(tmp_path / name) is Code.AUDIO_TYPE
    assert hit_counter.hits == 0


@pytest.mark.parametrize(
    "head", [ID3, b"RIFF\xff\xff\0\0WAVE", b"OggS", b"fLaC", b"\xff\xfb\x90\x00", b"\0\0\0\x18ftypM4A ", b"\xff\xf1"]
)
def test_a_playlist_behind_the_right_first_bytes_is_corrupt(
    tmp_path: Path, head: bytes, hit_counter: HitCounter
) -> None:
    """The demuxer that the first bytes ask for is the only one that reads on."""
    write_sound(tmp_path / "victim.wav", noise(1.0), 16_000)
    script = "\nffconcat version 1.0\nfile victim.wav\n" + playlist(hit_counter.url)
    (tmp_path / "speech.mp3").write_bytes(head + script.encode() * 30)
    assert code_of(tmp_path / "speech.mp3") is Code.AUDIO_CORRUPT
    assert hit_counter.hits == 0


def test_the_guards_are_what_keeps_ffmpeg_from_calling(
    tmp_path: Path, each_ffmpeg: str, hit_counter: HitCounter
) -> None:
    """The playlist that an unguarded ffmpeg follows reaches nobody through run_ffmpeg."""
    script = tmp_path / "speech.m3u8"
    script.write_text(playlist(hit_counter.url))
    whatever = ["-protocol_whitelist", "file,http,tcp", "-i", str(script), "-f", "null", "-"]
    subprocess.run([each_ffmpeg, "-nostdin", *whatever], capture_output=True, check=False, timeout=30)
    assert hit_counter.hits > 0
    hit_counter.hits = 0
    for source in (file_url(script), file_url(Path(f"{hit_counter.url}/a.wav")), f"{hit_counter.url}/a.wav"):
        options = [part for key, value in guarded("wav").items() for part in (f"-{key}", value)]
        with pytest.raises(FfmpegFailed):
            run_ffmpeg([*options, "-i", source, "-f", "null", "-"], timeout_s=30)
    assert hit_counter.hits == 0


def test_a_name_that_ffmpeg_would_parse_is_only_a_name(
    tmp_path: Path, each_ffmpeg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`concat:a|b` and a leading dash are files like any other, relative names too."""
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.wav|b.wav", "-i.wav", "http:x.wav"):
        write_sound(tmp_path / "plain.wav", noise(0.5), 16_000).rename(tmp_path / name)
        options = [part for key, value in guarded("wav").items() for part in (f"-{key}", value)]
        run_ffmpeg([*options, "-i", file_url(Path(name)), "-f", "null", "-"], timeout_s=30)


@pytest.mark.parametrize(("claimed", "held"), [(160_000, 1_600), (16_000, 15_000), (16_000, 15_800)])
def test_a_wav_that_claims_more_than_it_holds_is_a_mismatch(tmp_path: Path, claimed: int, held: int) -> None:
    """More than one per cent between the header and the decoded length is refused."""
    (tmp_path / "s.wav").write_bytes(wav_bytes(held, claimed=claimed))
    assert code_of(tmp_path / "s.wav") is Code.AUDIO_LENGTH_MISMATCH


@pytest.mark.parametrize("claimed", [16_050, 0, 0x3FFFFFF8, 0x7FFFFFFF])
def test_a_wav_that_was_written_to_a_pipe_claims_nothing(tmp_path: Path, claimed: int) -> None:
    """Within one per cent, or with the sizes that streaming writers leave, the decoded length counts."""
    (tmp_path / "s.wav").write_bytes(wav_bytes(16_000, claimed=claimed))
    assert check_speech(tmp_path / "s.wav", LIMITS).samples == 16_000


def test_a_flac_cut_off_is_refused(tmp_path: Path) -> None:
    """Half a FLAC is either undecodable or shorter than it says."""
    data = write_sound(tmp_path / "s.flac", noise(3.0), 16_000).read_bytes()
    (tmp_path / "s.flac").write_bytes(data[: len(data) // 2])
    assert code_of(tmp_path / "s.flac") in {Code.AUDIO_CORRUPT, Code.AUDIO_LENGTH_MISMATCH}


@pytest.mark.parametrize(("codec", "kind"), [("libmp3lame", "mp3"), ("aac", "ipod")])
def test_a_lossy_file_cut_off_is_refused(tmp_path: Path, codec: str, kind: str) -> None:
    """Half an MP3 with a frame count, or half an M4A, does not pass as a shorter one."""
    data = write_sound(tmp_path / "s", noise(5.0, 44_100), 44_100, codec=codec, kind=kind).read_bytes()
    (tmp_path / "s").write_bytes(data[: len(data) // 2])
    assert code_of(tmp_path / "s") in {Code.AUDIO_CORRUPT, Code.AUDIO_LENGTH_MISMATCH}


def test_odd_headers_have_their_codes(tmp_path: Path) -> None:
    """2.1 GHz, nine channels, zero samples, another codec inside, tags alone, text, nothing at all."""
    path = tmp_path / "s.wav"
    for data, code in (
        (wav_bytes(16_000, rate=2_100_000_000), Code.AUDIO_RATE),
        (wav_bytes(0), Code.AUDIO_TOO_SHORT),
        (wav_bytes(16_000, tag=0x55), Code.AUDIO_TYPE),
        (ID3, Code.AUDIO_CORRUPT),
        (ID3 + bytes(4_000), Code.AUDIO_CORRUPT),
        (b"this is a letter and no song", Code.AUDIO_TYPE),
        (b"", Code.AUDIO_CORRUPT),
    ):
        path.write_bytes(data)
        assert code_of(path) is code


def test_samples_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """A float WAV may hold NaN; the model must not."""
    samples = noise(1.0)
    samples[5_000] = np.nan
    soundfile.write(tmp_path / "s.wav", samples, 16_000, subtype="FLOAT")
    assert code_of(tmp_path / "s.wav") is Code.AUDIO_CORRUPT


def test_a_movie_without_sound_is_refused(tmp_path: Path) -> None:
    """An MP4 whose index is empty opens and holds nothing."""
    boxes = struct.pack(">I4s4sI4s", 20, b"ftyp", b"M4A ", 0, b"M4A ") + struct.pack(">I4s", 8, b"moov")
    (tmp_path / "s.m4a").write_bytes(boxes)
    assert code_of(tmp_path / "s.m4a") is Code.AUDIO_CORRUPT
