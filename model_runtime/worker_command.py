"""`python -m model_runtime worker`: settings and flags in, an exit code out."""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence

from media.ffmpeg import ffmpeg_binary
from model_runtime import log
from model_runtime.engines.registry import engines
from model_runtime.gang import GangPlan
from model_runtime.patience import patiently
from model_runtime.phases import Patience
from model_runtime.supervisor import Supervisor, WorkerPlan
from schemas.errors import CallsheetError, InvalidInput, Retryable
from schemas.model_spec import DEFAULT_MODEL, find_engine, find_model
from schemas.redaction import Redactor
from schemas.settings import OTHER_VARIABLES, PREFIX, Settings, environment, variable
from schemas.worker_exit import WorkerExit
from storage.places import CONFIG_VARIABLE, load_settings, open_ledger_of, open_store_of, scratch_folder

_SECRETS = tuple(variable(name) for name in ("database_url", "s3_access_key", "s3_secret_key"))
"""What a rank has no business to know: it talks to no ledger and to no store."""


START_S = 120.0
"""How long a ledger that is away is waited for before the worker has even begun."""


def main(argv: Sequence[str]) -> int:
    arguments = worker_parser().parse_args(argv)
    log.configure("INFO")
    flags = {"scratch": arguments.scratch, "lease_ttl_s": arguments.lease_ttl, "log_level": arguments.log_level}
    try:
        settings = load_settings(os.environ, flags=flags).settings
        log.configure(settings.log_level, Redactor.of(settings))
        plan = make_plan(arguments, settings)
        ffmpeg_binary()
        if arguments.with_parent:
            _follow_parent(os.getppid())
        ledger = patiently(
            lambda: open_ledger_of(settings, create=False),
            until=time.monotonic() + START_S,
            wait=time.sleep,
            say=log.away_at_start,
        )
        store = open_store_of(settings)
    except Retryable as error:
        log.ended(arguments.name, WorkerExit.SICK, str(error))
        return WorkerExit.SICK
    except CallsheetError as error:
        log.ended(arguments.name, WorkerExit.BAD_CONFIGURATION, str(error))
        return WorkerExit.BAD_CONFIGURATION
    try:
        return Supervisor(plan, ledger=ledger, store=store).run()
    finally:
        ledger.close()


def worker_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_runtime worker",
        description="Lease render jobs of one pool and render them until told to stop (docs/worker.md).",
        epilog="exit codes: 0 drained, 70 sick node, 75 preempted, 78 bad configuration or weights",
    )
    add = parser.add_argument
    add("--engine", required=True, help="what renders; the pool is ENGINE/MODEL/RANKS")
    add("--model", default=DEFAULT_MODEL, help="which model's limits and weights")
    add("--ranks", type=int, default=1, help="devices that render one clip together")
    add("--name", default=f"{socket.gethostname()}-{os.getpid()}", help="stable name: host and slot")
    add("--campaign", default="", help="serve only the campaign of this id")
    add("--idle-exit", type=float, metavar="SECONDS", help="exit 0 after so long without work")
    add("--grace", type=float, default=25.0, metavar="SECONDS", help="time to finish after SIGTERM")
    add("--with-parent", action="store_true", help="behave as on SIGTERM when the parent process dies")
    add("--scratch", help="folder for temporary files (setting `scratch`)")
    add("--cache-bytes", type=int, default=2 << 30, metavar="N", help="local copies of inputs to keep")
    add("--lease-ttl", type=float, metavar="SECONDS", help="length of a lease (setting `lease_ttl_s`)")
    add("--tick-timeout", type=float, default=60.0, metavar="SECONDS", help="silence after which a rank is dead")
    add("--open-timeout", type=float, default=1800.0, metavar="SECONDS", help="time to load and warm up")
    add("--stop-timeout", type=float, default=30.0, metavar="SECONDS", help="time for ranks to stop a clip together")
    add("--render-floor", type=float, default=Patience().render_s, metavar="SECONDS", help="least time for a render")
    add("--stall-floor", type=float, default=Patience().stall_s, metavar="SECONDS", help="least time for one step")
    add("--log-level", choices=("DEBUG", "INFO", "WARNING", "ERROR"), help="setting `log_level`")
    return parser


def make_plan(arguments: argparse.Namespace, settings: Settings) -> WorkerPlan:
    """Flags and settings as one value.

    Raises:
        InvalidInput: unknown engine or model, an engine that cannot render it, or an impossible number.
    """
    engine, model = find_engine(arguments.engine), find_model(arguments.model)
    if arguments.engine not in engines():
        raise InvalidInput(
            f"engine {arguments.engine!r} can be planned for, but is not installed here",
            fix=f"install its package; installed: {', '.join(sorted(engines()))}",
        )
    if not engine.renders(model):
        raise InvalidInput(
            f"engine {engine.name!r} cannot render with model {model.name!r}",
            fix=f"choose one of {', '.join(sorted(engine.models or ()))}",
        )
    if arguments.ranks < 1:
        raise InvalidInput(f"{arguments.ranks} ranks cannot render", fix="give at least one")
    return WorkerPlan(
        name=arguments.name,
        campaign_id=arguments.campaign,
        scratch=scratch_folder(settings),
        lease_ttl_s=settings.lease_ttl_s,
        grace_s=arguments.grace,
        idle_exit_s=arguments.idle_exit,
        cache_bytes=arguments.cache_bytes,
        patience=Patience(render_s=arguments.render_floor, stall_s=arguments.stall_floor),
        gang=GangPlan(
            engine=engine.name,
            model=model.name,
            ranks=arguments.ranks,
            tick_timeout_s=arguments.tick_timeout,
            open_timeout_s=arguments.open_timeout,
            stop_timeout_s=arguments.stop_timeout,
            environment=rank_environment(os.environ, settings),
        ),
    )


def rank_environment(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """What a rank inherits: the settings in force, wherever they came from, but none of the secrets."""
    other = {key: value for key, value in environ.items() if not key.startswith(PREFIX) or key in OTHER_VARIABLES}
    other.pop(CONFIG_VARIABLE, None)
    return other | {key: value for key, value in environment(settings).items() if key not in _SECRETS}


def _follow_parent(parent: int) -> None:
    """SIGTERM to ourselves when the parent dies.

    Not by PR_SET_PDEATHSIG: that fires when the parent's *thread* ends, and flows start workers from threads.
    """

    try:
        fd = os.pidfd_open(parent)
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGTERM)
        return

    def wait() -> None:
        select.select([fd], [], [])
        os.close(fd)
        log.parent_died()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
