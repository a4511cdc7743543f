"""`python -m model_runtime.evaluation`: train the reader, open its gate, render a suite, read it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from model_runtime.evaluation.frames import make_all, store_folder
from model_runtime.evaluation.store import Store
from schemas.errors import CallsheetError, InvalidInput
from schemas.evaluation import Asked, Suite

_INTERRUPTED = 130
"""As a shell says of a command that Ctrl-C ended."""
_READER = Path(__file__).with_name("reader.safetensors")
_GATE_CLIPS = 250


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors go to standard error and end with what to do next."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], None] = arguments.run
    # A flow that stops this deserves the same orderly end as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(arguments)
    except CallsheetError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; what is here is kept: run the same command again to go on\n")
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_runtime.evaluation", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train = commands.add_parser("train-reader", help="train the reader of attributes from nothing, on one core")
    train.add_argument("--out", type=Path, default=_READER, help="where its weights go")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--clips", type=int, default=1500, help="of the train split")
    train.add_argument("--steps", type=int, default=1500, help="on these")
    train.add_argument("--glimpsed", type=int, default=16_000, help="more clips, of which two frames each are seen")
    train.add_argument("--glimpsed-steps", type=int, default=3000)
    train.set_defaults(run=train_reader)
    gate = commands.add_parser("gate", help="measure the reader on true frames of the validation split")
    gate.add_argument("--size", default="64x64", metavar="WxH")
    gate.add_argument("--frames", type=int, default=Suite().frames)
    gate.add_argument("--duos", type=float, default=0.5, help="0 measures clips with one person, 1 those with two")
    gate.add_argument("--json", action="store_true")
    gate.set_defaults(run=show_gate)
    for name, run, purpose in (
        ("render", render, "make the frames that are missing; says how far on standard output"),
        ("read", read, "score frames that are there; writes one JSON document to --out"),
    ):
        command = commands.add_parser(name, help=purpose)
        command.add_argument("--asked", type=Path, required=True, metavar="JSON", help="what is evaluated, as a file")
        command.add_argument("--start", type=int, default=0, help="first clip of the suite to take")
        command.add_argument("--amount", type=int, default=sys.maxsize, help="how many from there on")
        command.set_defaults(run=run)
        if name == "read":
            command.add_argument("--out", type=Path, required=True)
    for command in (gate, *(commands.choices[name] for name in ("render", "read"))):
        command.add_argument("--store", type=Path, help="folder of frames and scores; default: under the home folder")
    for command in (gate, commands.choices["read"]):
        command.add_argument("--reader", type=Path, default=_READER)
        command.add_argument("--gate-clips", type=int, default=_GATE_CLIPS, help="true clips that the gate is taken on")
    return parser


def train_reader(arguments: argparse.Namespace) -> None:
    import torch

    from model_runtime.evaluation.reader import save
    from model_runtime.evaluation.reader_training import Schooling
    from model_runtime.evaluation.reader_training import train_reader as train

    # One core is what it is written for, and the sums then have one order.
    torch.set_num_threads(1)
    schooling = Schooling(
        seed=arguments.seed,
        clips=arguments.clips,
        steps=arguments.steps,
        glimpsed=arguments.glimpsed,
        glimpsed_steps=arguments.glimpsed_steps,
    )
    reader = train(schooling)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save(reader, arguments.out)
    sys.stdout.write(f"{arguments.out}: {arguments.out.stat().st_size} bytes\n")


def _on_one_core() -> None:
    """The reader is small: a second thread mostly waits, and on a busy machine both do."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def show_gate(arguments: argparse.Namespace) -> None:
    from model_runtime.evaluation.judgement import gate_of

    _on_one_core()
    width, cross, height = arguments.size.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise InvalidInput(f"--size is {arguments.size!r}, expected WxH, as 64x64")
    suite = Suite(width=int(width), height=int(height), frames=arguments.frames, duos=arguments.duos)
    gate = gate_of(suite, arguments.reader, _store(arguments), clips=arguments.gate_clips, told=lambda *_: None)
    if arguments.json:
        sys.stdout.write(json.dumps(gate.as_json(), indent=1) + "\n")
        return
    for people, gauges in gate.gauges.items():
        for name, gauge in gauges.items():
            verdict = "ok" if gauge.is_passed else "NOT JUDGED"
            line = f"{people} {name:12} {gauge.reached:.4f}  needed {gauge.needed:.2f}  of {gauge.clips}  {verdict}"
            sys.stdout.write(f"{line}\n")


def render(arguments: argparse.Namespace) -> None:
    asked = _asked(arguments)
    make_all(asked, _store(arguments), start=arguments.start, amount=arguments.amount, told=_tell)


def read(arguments: argparse.Namespace) -> None:
    from model_runtime.evaluation.judgement import gate_of, judge

    _on_one_core()
    asked, store = _asked(arguments), _store(arguments)
    gate = gate_of(asked.suite, arguments.reader, store, clips=arguments.gate_clips, told=lambda *_: None)
    scores = judge(asked, store, gate, arguments.reader, start=arguments.start, amount=arguments.amount, told=_tell)
    arguments.out.write_text(json.dumps(scores.as_json(), allow_nan=False), encoding="utf-8")


def _asked(arguments: argparse.Namespace) -> Asked:
    try:
        return Asked.from_json(json.loads(arguments.asked.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{arguments.asked} says not what is evaluated: {error}") from error


def _store(arguments: argparse.Namespace) -> Store:
    return Store(arguments.store or store_folder())


def _tell(done: int, total: int) -> None:
    """One line of JSON each, for whoever started this."""
    sys.stdout.write(f'{{"done": {done}, "total": {total}}}\n')
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
