"""The Typer application: verbs in the order a producer meets them, errors turned into exit codes."""

from __future__ import annotations

import logging
import os
import sys
from io import TextIOWrapper

import typer

from flows.cli import act, look, orchestrate, service, sheet
from flows.cli.console import note
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
for module in (sheet, look, act, service, orchestrate):
    module.register(app)


def main() -> None:
    """Entry point. Exit codes: 0 all right, 1 some rows failed, 2 invalid input, 3 refused, 130 interrupted."""
    log_to_terminal()
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
    except BrokenPipeError:
        # `callsheet rows ... | head` closed the pipe: no fault of anybody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def log_to_terminal() -> None:
    """Warnings on stderr. The level is the handler's: loggers of libraries choose their own and propagate."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)


def report_problems(error: InvalidManifest) -> None:
    """Groups first, the list second, how to mend it last."""
    note(f"error: {error.message}")
    for group in group_problems(error.problems):
        note(f"  {group}")
    if error.fix:
        note(f"  fix: {error.fix}")
