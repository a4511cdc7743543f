"""Every line that a worker logs: one place for the wording, one line per event, the same fields everywhere."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping

from model_runtime.phases import Step
from schemas.attempt import Failure
from schemas.lease import Lease
from schemas.object_ref import ObjectRef
from schemas.redaction import PATTERNS, Redactor
from schemas.retry import Decision
from schemas.status import ReapReport
from schemas.worker_exit import WorkerExit

logger = logging.getLogger("callsheet.worker")


class _Redacting(logging.Formatter):
    """What is secret becomes stars, in a traceback too."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


def configure(level: str, redact: Redactor = PATTERNS) -> None:
    """Time, level and the event, to standard error; of other libraries only what is a warning."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting(redact))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("callsheet").setLevel(level)


def line(event: str, fields: Mapping[str, object]) -> str:
    """`event key=value ...`; a value that is no plain word is quoted and escaped as JSON, so a line stays a line."""
    return " ".join([event, *(f"{key}={_plain(value)}" for key, value in fields.items() if value not in ("", None))])


def _plain(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    is_word = text.isascii() and text.isprintable() and not set(text) & set(' "=')
    return text if is_word else json.dumps(text)


def _of(lease: Lease) -> dict[str, object]:
    row = lease.job.row_id if lease.job else ""
    return {"row": row, "job": lease.subject, "attempt": lease.attempt_id, "epoch": lease.epoch}


def _say(level: int, event: str, **fields: object) -> None:
    if logger.isEnabledFor(level):
        logger.log(level, line(event, fields), extra={"event": event, "fields": fields})


# -- the worker and its gang ---------------------------------------------------------------------------------------


def started(worker: str, pool: str) -> None:
    _say(logging.INFO, "worker_started", worker=worker, pool=pool)


def ended(worker: str, code: WorkerExit, reason: str) -> None:
    level = logging.INFO if code in (WorkerExit.DRAINED, WorkerExit.PREEMPTED) else logging.ERROR
    _say(level, "worker_ended", worker=worker, code=int(code), meaning=code.name.lower(), reason=reason)


def gang_opened(ranks: int, seconds: float) -> None:
    _say(logging.INFO, "gang_opened", ranks=ranks, seconds=seconds)


def gang_lost(reason: str) -> None:
    _say(logging.ERROR, "gang_lost", reason=reason)


def parent_died() -> None:
    _say(logging.WARNING, "parent_died")


# -- services that are away ----------------------------------------------------------------------------------------


def away(what: str, error: Exception, wait_s: float | None = None) -> None:
    _say(logging.WARNING, "service_away", step=what, error=str(error), wait_s=wait_s)


def away_at_start(error: Exception, wait_s: float) -> None:
    away("start", error, wait_s)


def heartbeat_missed(lease: Lease, error: Exception) -> None:
    _say(logging.WARNING, "heartbeat_missed", **_of(lease), error=str(error))


def reaped(report: ReapReport) -> None:
    if report.requeued or report.quarantined or report.joins:
        _say(logging.INFO, "reaped", requeued=report.requeued, quarantined=report.quarantined, joins=report.joins)


def prefetch_failed(error: Exception) -> None:
    _say(logging.INFO, "prefetch_failed", error=str(error))


# -- one attempt ---------------------------------------------------------------------------------------------------


def claimed(lease: Lease) -> None:
    _say(logging.INFO, "claimed", **_of(lease), campaign=lease.campaign_id)


def step_ended(lease: Lease, step: Step, seconds: float) -> None:
    _say(logging.DEBUG, "step_ended", **_of(lease), step=step, seconds=seconds)


def rendered(lease: Lease, clip: ObjectRef, device_s: float) -> None:
    _say(logging.INFO, "rendered", **_of(lease), device_s=device_s, clip=clip.key)


def failed(lease: Lease, failure: Failure, decision: Decision) -> None:
    _say(
        logging.WARNING,
        "failed",
        **_of(lease),
        ending=failure.ending,
        blame=failure.blame,
        phase=failure.phase,
        verdict=decision.verdict,
        message=failure.message,
    )


def given_back(lease: Lease, failure: Failure) -> None:
    _say(
        logging.INFO,
        "given_back",
        **_of(lease),
        ending=failure.ending,
        phase=failure.phase,
        message=failure.message,
    )


def lease_lost(lease: Lease, step: Step) -> None:
    _say(logging.WARNING, "lease_lost", **_of(lease), step=step)


def left_to_expire(lease: Lease, error: Exception) -> None:
    _say(logging.ERROR, "left_to_expire", **_of(lease), error=str(error))
