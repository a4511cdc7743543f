"""`python -m model_runtime COMMAND ...`: one line per command; its module is imported only when it is asked for."""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = {
    "worker": ("model_runtime.worker_command", "lease jobs and render them until told to stop"),
    "model": ("model_runtime.humo.cli", "fetch, convert, lock and check weights"),
    "rank": ("model_runtime.rank", "internal: one rank of a worker's gang"),
}


def main(argv: list[str]) -> int:
    if argv and argv[0] in COMMANDS:
        module, _ = COMMANDS[argv[0]]
        code: int = import_module(module).main(argv[1:])
        return code
    asked_for_help = argv[:1] in (["-h"], ["--help"])
    out = sys.stdout if asked_for_help else sys.stderr
    out.write("usage: python -m model_runtime COMMAND ...\n\n")
    for name, (_, purpose) in COMMANDS.items():
        out.write(f"  {name:8} {purpose}\n")
    return 0 if asked_for_help else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
