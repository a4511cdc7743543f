"""`python -m model_runtime model ...`: the weights' own commands."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from model_runtime.humo.weights.layout import MODELS, HumoModel, find_model
from model_runtime.humo.weights.lockfile import check_digests, check_sizes, expected_files, find_lock, read_lock
from model_runtime.humo.weights.progress import Progress
from schemas.errors import CallsheetError
from schemas.settings import resolve

_INTERRUPTED = 130
"""As a shell says of a command that Ctrl-C ended."""


def main(argv: Sequence[str]) -> int:
    """Run one command; errors go to standard error and end with what to do next."""
    parser = argparse.ArgumentParser(prog="python -m model_runtime model", description=__doc__)
    register(parser.add_subparsers(required=True, metavar="COMMAND"))
    arguments = parser.parse_args(argv)
    try:
        if arguments.weights is None:
            arguments.weights = Path(resolve(environ=os.environ).settings.weights)
        run: Callable[[argparse.Namespace], None] = arguments.run
        run(arguments)
    except CallsheetError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; what is here is kept: run the same command again to go on\n")
        return _INTERRUPTED
    return 0


def register(commands: Any) -> None:
    """Add the commands to an `add_subparsers()` object; each sets `run`."""
    _add(commands, "list", list_models, "known models and what of them is here", with_name=False).add_argument(
        "--json", action="store_true"
    )
    fetch = _add(commands, "fetch", fetch_model, "download a published model, resuming what is there")
    fetch.add_argument("--endpoint", help="another hub than huggingface.co")
    fetch.add_argument("--json", action="store_true", help="no progress; one document at the end")
    _add(commands, "convert", convert, "turn published .pth files into safetensors, once, in an isolated process")
    verify = _add(commands, "verify", verify_model, "compare files with the lock and tensors with the model")
    verify.add_argument("--quick", action="store_true", help="compare sizes, do not read every byte")
    verify.add_argument("--json", action="store_true")
    tiny = _add(
        commands, "make-tiny", make_tiny_model, "write a tiny model with random weights in the published layout"
    )
    tiny.add_argument("--seed", type=int, default=0)


def _add(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], purpose: str, *, with_name: bool = True
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=purpose)
    parser.set_defaults(run=run)
    if with_name:
        parser.add_argument("model", help=", ".join(sorted(MODELS)))
    parser.add_argument("--weights", type=Path, help="weights folder; default: the setting `weights`")
    return parser


def list_models(arguments: argparse.Namespace) -> None:
    found = [_state(arguments.weights, model) for model in MODELS.values()]
    if arguments.json:
        _say(json.dumps(found, indent=1))
        return
    for state in found:
        size = f"{state['bytes'] / 1e9:.2f} GB" if state["bytes"] else "-"
        _say(f"{state['model']:18} {state['state']:10} {size:>10}  {state['digest'] or '-'}")


def _state(root: Path, model: HumoModel) -> dict[str, Any]:
    lock = find_lock(root, model.name)
    state = "absent" if lock is None else "ready"
    if lock is not None:
        try:
            check_sizes(root, lock)
        except CallsheetError:
            state = "incomplete"
        else:
            if _unconverted(root, model):
                state = "unconverted"
    return {
        "model": model.name,
        "state": state,
        "bytes": sum(file.size for file in lock.files.values()) if lock else 0,
        "digest": lock.digest if lock else None,
        "repositories": dict(lock.repositories) if lock else {},
    }


def _unconverted(root: Path, model: HumoModel) -> list[Path]:
    from model_runtime.humo.weights.checkpoint import converted_path

    pickles = [root / source.local for source in model.layout.pickles]
    return [path for path in pickles if not converted_path(path).is_file()]


def fetch_model(arguments: argparse.Namespace) -> None:
    from model_runtime.humo.weights.fetch import fetch

    model, root = find_model(arguments.model), arguments.weights
    with _progress(arguments, "fetching") as progress:
        lock = fetch(root, model, progress, on_plan=progress.plan, endpoint=arguments.endpoint)
    waiting = _unconverted(root, model)
    if arguments.json:
        files = {path: {"bytes": file.size, "sha256": file.sha256} for path, file in lock.files.items()}
        found = {"model": model.name, "digest": lock.digest, "repositories": dict(lock.repositories), "files": files}
        _say(json.dumps({**found, "unconverted": [path.relative_to(root).as_posix() for path in waiting]}, indent=1))
        return
    _say(f"{model.name}: {len(lock.files)} files, digest {lock.digest}")
    if waiting:
        _say(f"next: python -m model_runtime model convert {model.name} --weights {root}")


def convert(arguments: argparse.Namespace) -> None:
    from model_runtime.humo.weights.convert import convert_model

    model, root = find_model(arguments.model), arguments.weights
    lock = convert_model(root, model, read_lock(root, model.name))
    _say(f"{model.name}: {', '.join(sorted(lock.converted)) or 'nothing to convert'}")


def verify_model(arguments: argparse.Namespace) -> None:
    from model_runtime.humo.weights.verify import verify_tensors

    model, root = find_model(arguments.model), arguments.weights
    lock = read_lock(root, model.name)
    if arguments.quick:
        check_sizes(root, lock)
    else:
        with _progress(arguments, "checking") as progress:
            progress.plan({path: file.size for path, file in expected_files(root, lock).items()})
            check_digests(root, lock, progress)
    parts = verify_tensors(root, model)
    if arguments.json:
        rows = [
            {"part": part.name, "tensors": part.tensors, "dtypes": part.dtypes, "extra": part.extra} for part in parts
        ]
        _say(json.dumps({"model": model.name, "digest": lock.digest, "parts": rows}, indent=1))
        return
    for part in parts:
        extra = f", {len(part.extra)} extra: {', '.join(part.extra[:5])}" if part.extra else ""
        _say(f"{part.name:15} {part.tensors} tensors, {'/'.join(part.dtypes)}{extra}")
    _say(f"{model.name}: all right, digest {lock.digest}")


def make_tiny_model(arguments: argparse.Namespace) -> None:
    from model_runtime.humo.weights.tiny import make_tiny

    model = find_model(arguments.model)
    lock = make_tiny(arguments.weights, model, seed=arguments.seed)
    _say(f"{model.name}: {len(lock.files)} files in {arguments.weights}, digest {lock.digest}")


@contextmanager
def _progress(arguments: argparse.Namespace, doing: str) -> Iterator[Progress]:
    """On standard error; nowhere when a program reads the answer."""
    with ExitStack() as stack:
        stream = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8")) if arguments.json else sys.stderr
        yield stack.enter_context(Progress(doing, stream=stream))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
