"""What every verb has in common: its return value is the exit code, and an interrupt is an answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

import typer

from flows.cli.console import emit_json
from schemas.errors import CallsheetError, InvalidManifest


class Interrupted(CallsheetError):
    """Ctrl-C, or a supervisor's SIGTERM."""

    exit_code = 130


def add(app: typer.Typer, function: Callable[..., int], **settings: Any) -> None:
    """Make `function` the verb of its name. With `--json` a sheet that cannot be used is a report like any other."""

    @wraps(function)
    def verb(*args: Any, **kwargs: Any) -> NoReturn:
        try:
            code = function(*args, **kwargs)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing is lost", fix="run the same command again to go on") from None
        except InvalidManifest as error:
            if not kwargs.get("as_json"):
                raise
            emit_json({"valid": False, "error": error.message, "problems": [p.as_dict() for p in error.problems]})
            code = error.exit_code
        raise typer.Exit(code)

    app.command(**settings)(verb)
