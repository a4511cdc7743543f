"""The command line: `callsheet VERB`. Verbs say what they touch, take `--json`, and end with documented codes."""

from flows.cli.app import main

__all__ = ["main"]
