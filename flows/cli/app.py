"""The Typer application: verbs in the order a producer meets them, errors turned into exit codes."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from io import TextIOWrapper

import typer

from flows.cli import act, dataset, evaluation, look, orchestrate, service, sheet
from flows.cli.console import note, redacted
from flows.prefect_home import bypass_proxies
from schemas.errors import CallsheetError, InvalidManifest
from schemas.problem import group_problems

app = typer.Typer(
    name="callsheet",
    help="One CSV of prompt / image / audio in, finished videos of people out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (sheet, look, act, service, orchestrate, dataset, evaluation):
    module.register(app)


def main() -> None:
    """Entry point. Exit codes: 0 all right, 1 some rows failed, 2 invalid input, 3 refused, 130 interrupted."""
    log_to_terminal()
    bypass_proxies()
    # A child looks for modules where they are installed: a random.py where its user stands is none of ours.
    os.environ["PYTHONSAFEPATH"] = "1"
    for stream in (sys.stdout, sys.stderr):
        # A terminal that speaks no UTF-8, a file name that is none: shown as escapes, never the end of the verb.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except InvalidManifest as error:
        report_problems(error)
        sys.exit(error.exit_code)
    except CallsheetError as error:
        note(f"error: {error.message}")
        if error.fix:
            note(f"  fix: {error.fix}")
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the last word of a verb is no traceback
        # No stranger's input may lead here. What did is said in a line; the traceback is for who mends it.
        note(f"error: callsheet itself failed: {type(error).__name__}: {error}")
        note("  fix: run the same again; if it fails again, report it with the output of CALLSHEET_LOG_LEVEL=DEBUG")
        if os.environ.get("CALLSHEET_LOG_LEVEL") == "DEBUG":
            note(traceback.format_exc())
        sys.exit(1)
    except BrokenPipeError:
        # `callsheet rows ... | head` closed the pipe: no fault of anybody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def log_to_terminal() -> None:
    """Warnings on stderr. The level is the handler's: loggers of libraries choose their own and propagate."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_Redacting("%(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)


class _Redacting(logging.Formatter):
    """Shows no secret, in a traceback either."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def report_problems(error: InvalidManifest) -> None:
    """Groups first, the list second, how to mend it last."""
    note(f"error: {error.message}")
    for group in group_problems(error.problems):
        note(f"  {group}")
    if error.fix:
        note(f"  fix: {error.fix}")
