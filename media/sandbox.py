"""Strangers' bytes are decoded in one limited child process that is kept for thousands of files.

A file that crashes the child, hangs it or eats its memory is a bad file and nothing more: the child is replaced and
the file gets IMAGE_CORRUPT or AUDIO_CORRUPT. The child has no secret in its environment and bounded memory,
processor time, descriptors and file size.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from media.footage import BadFootage, FootageFacts
from media.picture import PictureFacts
from media.process import captured, kill_group, plain_environment, tail
from media.speech import SpeechFacts
from schemas.errors import InvalidInput, InvalidMedia, Retryable
from schemas.model_spec import SPEECH_RATE
from schemas.problem import Code
from schemas.settings import Limits

_ROOT = Path(__file__).resolve().parent.parent


class Kind(StrEnum):
    """What a file is taken for."""

    PICTURE = "picture"
    SPEECH = "speech"
    FOOTAGE = "footage"


_CORRUPT = {Kind.PICTURE: Code.IMAGE_CORRUPT, Kind.SPEECH: Code.AUDIO_CORRUPT}


@dataclass(frozen=True, kw_only=True)
class SandboxLimits:
    """What one file may cost. `memory_bytes` comes on top of what the bare child occupies."""

    memory_bytes: int = 1024 * 2**20
    """A WebP of 40 megapixels takes 700 MiB; everything else that is allowed stays below 350."""
    cpu_s: int = 60
    """Ten minutes of speech with all that is allowed take half of it."""
    wall_s: float = 120.0
    file_bytes: int = 64 * 2**20
    """Largest file that normalising may write, and never less than the longest speech allowed takes."""
    start_s: float = 60.0


class Sandbox:
    """Checks and normalises media in a child process; a context manager. Threads take turns."""

    def __init__(self, limits: Limits, *, sandbox: SandboxLimits | None = None) -> None:
        self._limits = limits
        self._bounds = sandbox or SandboxLimits()
        self._turn = threading.Lock()
        self._child: _Child | None = None
        self._inherited: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return self._child.pid if self._child else None

    def close(self) -> None:
        """End the child; the next check would start another one."""
        with self._turn:
            self._drop()

    def check_picture(self, path: Path) -> PictureFacts:
        """As `media.picture.check_picture`, in the child. Raises InvalidMedia; Retryable when no child starts."""
        return PictureFacts(**self._ask(Kind.PICTURE, {"do": "check_picture", "path": str(path.absolute())}))

    def check_speech(self, path: Path) -> SpeechFacts:
        """As `media.speech.check_speech`, in the child. Raises InvalidMedia; Retryable when no child starts."""
        facts = self._ask(Kind.SPEECH, {"do": "check_speech", "path": str(path.absolute())})
        return SpeechFacts(**{**facts, "envelope": tuple(facts["envelope"])})

    def normalise_speech(self, path: Path, out: Path) -> int:
        """As `media.speech.normalise_speech`, in the child.

        Raises:
            InvalidMedia: the speech cannot be used.
            Retryable: `out` cannot be written, or no child starts.
        """
        request = {"do": "normalise_speech", "path": str(path.absolute()), "out": str(out.absolute())}
        return int(self._ask(Kind.SPEECH, request)["samples"])

    def survey_footage(self, path: Path) -> FootageFacts:
        """As `media.footage.survey_footage`, in the child. Raises BadFootage; Retryable when no child starts."""
        facts = self._ask(Kind.FOOTAGE, {"do": "survey_footage", "path": str(path.absolute())})
        return FootageFacts(**{**facts, "changes": tuple(facts["changes"])})

    def write_frames(self, path: Path, out: Path, *, first: int, count: int, width: int, height: int) -> None:
        """As `media.footage.write_frames`, in the child."""
        where = {"path": str(path.absolute()), "out": str(out.absolute())}
        which = {"first": first, "count": count, "width": width, "height": height}
        self._ask(Kind.FOOTAGE, {"do": "write_frames", **where, **which})

    def write_sound(self, path: Path, out: Path, *, frames: int) -> bool:
        """As `media.footage.write_sound`, in the child."""
        request = {"do": "write_sound", "path": str(path.absolute()), "out": str(out.absolute()), "frames": frames}
        return bool(self._ask(Kind.FOOTAGE, request)["has_sound"])

    def check_many(self, files: Iterable[tuple[Kind, Path]]) -> Iterator[PictureFacts | SpeechFacts | InvalidMedia]:
        """One answer per file, in order; a bad file's answer is its error."""
        for kind, path in files:
            try:
                yield self.check_picture(path) if kind is Kind.PICTURE else self.check_speech(path)
            except InvalidMedia as error:
                yield error

    def _ask(self, kind: Kind, request: dict[str, Any]) -> dict[str, Any]:
        name = Path(request["path"]).name
        with self._turn:
            try:
                answer = self._ask_twice(request)
            except _ChildLost as lost:
                raise _fault(kind, f"{name}: decoding it {lost}", "export the file again") from None
        if "reason" in answer:
            raise BadFootage(answer["reason"], answer["message"], fix=answer["fix"])
        if "code" in answer:
            raise InvalidMedia(Code(answer["code"]), answer["message"], fix=answer["fix"])
        if "retry" in answer:
            raise Retryable(answer["retry"], fix=answer["fix"])
        if "memory" in answer:
            needs = f"{name}: decoding it needs more than {self._bounds.memory_bytes >> 20} MiB of memory"
            raise _fault(kind, needs, "export the file again, smaller")
        return answer

    def _ask_twice(self, request: dict[str, Any]) -> dict[str, Any]:
        """A child that dies is the file's fault only if a fresh one dies of it too: it may have been killed.

        One that used up its time was killed for what it did.
        """
        try:
            return self._ask_once(request)
        except _ChildDied:
            return self._ask_once(request)

    def _ask_once(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._child is not None and self._child.parent != os.getpid():
            # Forked: two processes at one pipe would get each other's answers. The child belongs to the other one.
            self._inherited, self._child = self._child, None
        if self._child is None:
            self._child = _Child(self._limits, self._bounds)
        try:
            return self._child.ask(request, self._bounds.wall_s)
        except BaseException:
            # Also when interrupted: an answer left in the pipe would be taken for the next file's.
            self._drop()
            raise

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.parent == os.getpid():
            child.close()


def _fault(kind: Kind, message: str, fix: str) -> InvalidInput:
    """What is said of a file that the child could not bear."""
    if kind is Kind.FOOTAGE:
        return BadFootage("unreadable", message, fix=fix)
    return InvalidMedia(_CORRUPT[kind], message, fix=fix)


class _ChildLost(Exception):
    """The child cannot answer any more; the message goes on after `decoding it`."""


class _ChildDied(_ChildLost):
    """It ended without having been asked to."""


class _Child:
    """One `python -m media.sandbox_child`, spoken to in JSON lines."""

    def __init__(self, limits: Limits, bounds: SandboxLimits) -> None:
        self._open = ExitStack()
        self._stderr = self._open.enter_context(captured())
        self._buffer = b""
        self.parent = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "media.sandbox_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
            cwd=_ROOT,
            env={
                **plain_environment(),
                "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
                # Each thread of a numeric library would reserve address space that the limit counts.
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
            },
            bufsize=0,
        )
        try:
            hello = {
                "limits": limits.model_dump(mode="json"),
                "memory_bytes": bounds.memory_bytes,
                "cpu_s": bounds.cpu_s,
                "file_bytes": max(bounds.file_bytes, int(limits.audio_max_s * SPEECH_RATE * 4)),
            }
            self.ask(hello, bounds.start_s)
        except _ChildLost as lost:
            said = tail(self._stderr)
            self.close()
            raise Retryable(
                f"the process that decodes media does not start: it {lost}; it said: {said or 'nothing'}",
                fix="look at the machine's memory and process limits",
            ) from None

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: dict[str, Any], wall_s: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._ended() from None
        answer = json.loads(self._line(time.monotonic() + wall_s, wall_s))
        assert isinstance(answer, dict)
        return answer

    def _line(self, deadline: float, wall_s: float) -> bytes:
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(output, select.POLLIN)
        while b"\n" not in self._buffer:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise _ChildLost(f"takes longer than {wall_s:g} s")
            piece = os.read(output, 1 << 16)
            if not piece:
                raise self._ended()
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _ended(self) -> _ChildLost:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return _ChildDied("closed the decoder's output")
        if code == -signal.SIGXCPU:
            return _ChildLost("takes more processor time than any file may")
        return _ChildDied(f"killed the decoder (signal {-code})" if code < 0 else f"ended the decoder (status {code})")

    def close(self) -> None:
        kill_group(self._process)
        self._open.close()
