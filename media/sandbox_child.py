"""The child of `media.sandbox`: reads one JSON request per line, answers with one JSON line, until its input ends."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from media.footage import BadFootage, survey_footage, write_frames, write_sound
from media.picture import check_picture
from media.speech import check_speech, normalise_speech
from schemas.errors import InvalidMedia, Retryable
from schemas.settings import Limits

Answer = dict[str, Any]


def main() -> None:
    """Take the limits from the first line, then serve files."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    # Whatever a library prints must not be taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    hello = json.loads(requests.readline())
    limits = Limits.model_validate(hello["limits"])
    _bound(hello)
    _say(answers, {"ready": True})
    for line in requests:
        _renew_cpu(hello["cpu_s"])
        _say(answers, _serve(json.loads(line), limits))


def _say(answers: Any, answer: Answer) -> None:
    data = memoryview(json.dumps(answer).encode() + b"\n")
    while data:
        data = data[answers.write(data) :]


def _serve(request: dict[str, Any], limits: Limits) -> Answer:
    try:
        return _VERBS[request["do"]](request, limits)
    except BadFootage as error:
        return {"reason": error.reason, "message": error.message, "fix": error.fix}
    except InvalidMedia as error:
        return {"code": error.code.value, "message": error.message, "fix": error.fix}
    except Retryable as error:
        return {"retry": error.message, "fix": error.fix}
    except MemoryError:
        return {"memory": "exhausted"}


def _picture(request: dict[str, Any], limits: Limits) -> Answer:
    return asdict(check_picture(Path(request["path"]), limits))


def _speech(request: dict[str, Any], limits: Limits) -> Answer:
    return asdict(check_speech(Path(request["path"]), limits))


def _normalise(request: dict[str, Any], limits: Limits) -> Answer:
    return {"samples": normalise_speech(Path(request["path"]), Path(request["out"]), limits=limits)}


def _survey(request: dict[str, Any], limits: Limits) -> Answer:  # noqa: ARG001 - one shape for all verbs
    return asdict(survey_footage(Path(request["path"])))


def _frames(request: dict[str, Any], limits: Limits) -> Answer:  # noqa: ARG001 - one shape for all verbs
    which = {name: request[name] for name in ("first", "count", "width", "height")}
    write_frames(Path(request["path"]), Path(request["out"]), **which)
    return {"written": True}


def _sound(request: dict[str, Any], limits: Limits) -> Answer:  # noqa: ARG001 - one shape for all verbs
    return {"has_sound": write_sound(Path(request["path"]), Path(request["out"]), frames=request["frames"])}


_VERBS: dict[str, Callable[[dict[str, Any], Limits], Answer]] = {
    "check_picture": _picture,
    "check_speech": _speech,
    "normalise_speech": _normalise,
    "survey_footage": _survey,
    "write_frames": _frames,
    "write_sound": _sound,
}


def _bound(hello: dict[str, int]) -> None:
    bounds = {
        resource.RLIMIT_AS: _address_bytes() + hello["memory_bytes"],
        resource.RLIMIT_FSIZE: hello["file_bytes"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    for which, wanted in bounds.items():
        _, hard = resource.getrlimit(which)
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (bound, bound))


def _address_bytes() -> int:
    """What this process's libraries occupy already; it differs widely between machines."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _renew_cpu(seconds: int) -> None:
    """Processor time is counted over a process's life: each file gets its own share on top of what is used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(usage.ru_utime + usage.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    main()
