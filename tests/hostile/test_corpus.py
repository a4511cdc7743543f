"""Every hostile file gets its code at its row and column, costs little, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.problem import Code
from tests.hostile.corpus import corpus
from tests.support.cli import Cli
from tests.support.hostile import Case, good_row, with_rows
from tests.support.hostile_driver import Run
from tests.support.hostile_runs import faults_of, note_figures, run_alone, run_batch, said_by

CASES = {case.name: case for case in corpus()}
pytestmark = pytest.mark.timeout(1000)
"""The first test that asks for the answers waits for all of them."""

EVERY = 10
"""In the short run every tenth case is submitted as well as validated."""

Answers = dict[tuple[str, str], Run]


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory, long_run: bool) -> Answers:
    """All cases through the command line, in one process."""
    asked = [(case, "validate") for case in CASES.values()]
    asked += [(case, "submit") for number, case in enumerate(CASES.values()) if long_run or number % EVERY == 0]
    found = run_batch("tests.hostile.corpus", asked, tmp_path_factory.mktemp("corpus"), timeout_s=900)
    note_figures("hostile corpus, in one process", found.values())
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_refused_by_its_code(name: str, answers: Answers) -> None:
    """The code, row and column; exit 2; no traceback; bounded work and memory; nothing stored; nothing raw printed."""
    for verb in ("validate", "submit"):
        run = answers.get((name, verb))
        assert run is None or faults_of(CASES[name], run) == []


def test_the_corpus_is_as_large_as_it_says_and_covers_the_codes() -> None:
    """At least 200 cases of unique names, and every code of the closed list but those of test_references.py."""
    assert len(CASES) == len(corpus()) >= 200
    covered = {said.code for case in CASES.values() for said in case.said}
    references = {Code.REFERENCE_HOST, Code.REFERENCE_ADDRESS, Code.REFERENCE_UNREACHABLE, Code.REFERENCE_OUTSIDE_ROOT}
    no_model_yet = {Code.MODE_UNSUPPORTED}
    assert set(Code) - covered == references | no_model_yet


def test_a_message_names_the_reference_as_the_author_wrote_it(answers: Answers) -> None:
    """Not the private copy that was decoded."""
    for name, reference in (
        ("picture: text", "face.png"),
        ("sound: wav of silence", "a.wav"),
        ("sound: nothing", "a.wav"),
    ):
        (problem,) = json.loads(answers[name, "validate"].stdout)["problems"]
        assert problem["message"].startswith(f"'{reference}'")


SAMPLE = (
    "header of a million names",
    "a prompt that swells",
    "the sheet is a named pipe",
    "the sheet is called '\\udcff\\udcfe.csv'",
    "picture: png bomb of 20000 square",
    "sound: ffconcat of an address script called mp3",
)


@pytest.fixture(scope="session")
def start_s(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Processor seconds of a run that finds nothing wrong: what interpreters cost to start."""
    good = Case(name="good", build=with_rows(good_row()), said=())
    run = run_alone(good, "validate", tmp_path_factory.mktemp("good"))
    assert (run.code, said_by(run)) == (0, [])
    return run.cpu_s


@pytest.mark.timeout(3600)
def test_a_process_of_its_own_does_the_same(tmp_path: Path, long_run: bool, start_s: float) -> None:
    """A sample, and in the long run all of them, as a user runs them: one process each, with all it starts."""
    names = list(CASES) if long_run else SAMPLE

    def run(number: int) -> Run:
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            return run_alone(CASES[names[number]], "submit" if number % 2 else "validate", folder)
        finally:
            shutil.rmtree(folder)

    with ThreadPoolExecutor(2) as pair:
        runs = list(pair.map(run, range(len(names))))
    faults = {run.case: found for run in runs if (found := faults_of(CASES[run.case], run, start_s=start_s))}
    note_figures(f"hostile corpus, a process each (start {start_s:.1f} s)", runs)
    assert faults == {}


DROP_RIGHTS = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, out of the bounding set (PR_CAPBSET_DROP)
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Root reads everything; without these two it reads what the mode says, like everybody else."""


def test_what_may_not_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    """A sheet or a picture without the right to read it has its code."""
    sheet = with_rows(good_row(), good_row("bad", image="secret.png"))(tmp_path)
    secret = tmp_path / "secret.png"
    shutil.copy(tmp_path / "good.png", secret)
    cli = Cli(folder=tmp_path, environ={"CALLSHEET_EXECUTOR": "inline"})
    command = [sys.executable, "-c", DROP_RIGHTS, *cli.command("validate", sheet, "--json")]
    for path, code in ((secret, Code.REFERENCE_UNREACHABLE), (sheet, Code.FILE_NOT_FOUND)):
        path.chmod(0)
        done = subprocess.run(
            command, env=cli.full_environ, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
        )
        path.chmod(0o644)
        assert (done.returncode, done.stderr) == (2, "")
        assert [problem["code"] for problem in json.loads(done.stdout)["problems"]] == [code]
