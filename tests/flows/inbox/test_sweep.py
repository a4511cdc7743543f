"""A sheet in the inbox becomes a campaign, in a folder and in S3 alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from flows.inbox.drop import TAKEN
from flows.inbox.folder import FolderInbox
from flows.inbox.sweep import Fate, look
from schemas.settings import Settings, environment
from storage.places import open_ledger_of
from tests.support.cli import ROOT
from tests.support.inbox import SHEET, InboxBench


def fates(bench: InboxBench) -> dict[str, Fate]:
    return {one.name: one.fate for one in bench.sweep()}


@pytest.mark.parametrize("folder", ["", "from marketing"])
def test_a_sheet_becomes_a_campaign_and_moves_to_done(bench: InboxBench, folder: str) -> None:
    """Alone or in a folder: it is submitted under its stem, and lies in `done` with its files."""
    bench.put_drop(folder)
    assert list(fates(bench).values()) == [Fate.SUBMITTED]
    assert bench.campaigns() == ["spring"]
    names = bench.names()
    assert {name.rpartition("/")[2] for name in names if name.startswith("done/")} >= {"spring.csv", "face.png"}
    assert [name for name in names if not name.startswith("done/") and not name.endswith("campaign.toml")] == []
    assert fates(bench) == {}
    with closing(open_ledger_of(bench.settings)) as ledger:
        base = ledger.campaign("spring").manifest.base
    assert base.rpartition("/")[2] == next(name for name in names if name.endswith("spring.csv")).split("/")[1]


def test_a_bad_sheet_gets_its_report(bench: InboxBench) -> None:
    """Nothing of it is stored; it lies in `failed` with what is wrong, for people and for programs."""
    bench.put_drop("winter", SHEET.replace("a person waits", ""))
    assert list(fates(bench).values()) == [Fate.REFUSED]
    assert bench.campaigns() == []
    page = next(name for name in bench.names() if name.endswith("problems.md"))
    assert page.startswith("failed/spring-")
    assert "PROMPT_MISSING" in bench.read(page)
    said = json.loads(bench.read(page.replace(".md", ".json")))
    assert [(p["line"], p["code"]) for p in said["problems"]] == [(2, "PROMPT_MISSING")]
    assert page.replace("problems.md", "face.png") in bench.names()


def test_a_sheet_that_names_what_is_not_there_waits_then_fails(bench: InboxBench) -> None:
    """`callsheet inbox` says what it waits for; when its patience is over it is refused with the missing file."""
    bench.put("spring.csv", SHEET)
    bench.put("campaign.toml", 'engine = "pattern"\n')
    assert fates(bench) == {"spring.csv": Fate.WAITS}
    assert [one.why for one in look(bench.place, bench.settings)] == ["waits for files that it names: face.png"]
    impatient = bench.settings.model_copy(update={"inbox_patience_s": 0.0})
    (refused,) = bench.sweep(impatient)
    assert refused.fate is Fate.REFUSED
    assert "REFERENCE_MISSING" in bench.read(next(name for name in bench.names() if name.endswith("problems.md")))


def test_two_sheets_share_their_pictures(bench: InboxBench) -> None:
    """What two sheets name is there for both, whichever comes first."""
    bench.put_drop()
    bench.put("summer.csv", SHEET)
    assert fates(bench) == {"spring.csv": Fate.SUBMITTED, "summer.csv": Fate.SUBMITTED}
    assert sorted(bench.campaigns()) == ["spring", "summer"]
    assert "face.png" not in bench.names()


def test_two_sweeps_at_once_submit_each_sheet_once(bench: InboxBench) -> None:
    """However they interleave, every sheet is submitted, none is refused, and one campaign stands for each."""
    for n in range(4):
        bench.put_drop(f"f{n}", name=f"c{n}.csv")
    with ThreadPoolExecutor(3) as pool:
        outcomes = [one for found in pool.map(lambda _: bench.sweep(), range(3)) for one in found]
    assert not [one for one in outcomes if one.fate is Fate.REFUSED]
    assert sorted(bench.campaigns()) == ["c0", "c1", "c2", "c3"]
    bench.sweep()
    with closing(open_ledger_of(bench.settings)) as ledger:
        assert {campaign.revision for campaign in ledger.campaigns()} == {1}
    assert [name for name in bench.names() if not name.startswith("done/")] == []


def test_a_marker_is_not_kept(bench: InboxBench) -> None:
    """A sheet whose marker is there is taken at once, and the marker goes."""
    bench.put_drop()
    bench.put("spring.csv.complete", "")
    patient = bench.settings.model_copy(update={"inbox_quiet_s": 600.0})
    assert [one.fate for one in bench.sweep(patient)] == [Fate.SUBMITTED]
    assert not [name for name in bench.names() if name.endswith(".complete")]


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Settings, Path]:
    """An inbox whose sweep was killed while it held a sheet."""
    inbox = tmp_path / "inbox"
    folder = inbox / "spring"
    folder.mkdir(parents=True)
    (folder / "s.csv").write_text(SHEET)
    settings = Settings(home=str(tmp_path / "home"), inbox_url=inbox.as_uri())
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom flows.inbox.folder import FolderInbox\n"
        "from flows.inbox.drop import drops\n"
        f"place = FolderInbox(Path({str(inbox)!r}))\n"
        "with place.claim(drops(place.list())[0], []) as held:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | environment(settings), check=False)
    assert done.returncode == -9
    return settings, inbox


def test_what_a_killed_sweep_held_comes_back(killed: tuple[Settings, Path]) -> None:
    """A claim of a dead process lies in the inbox again at the next sweep."""
    _, inbox = killed
    assert not (inbox / "spring").exists()
    assert FolderInbox(inbox).recover() == 1
    assert (inbox / "spring" / "s.csv").read_text() == SHEET
    assert list((inbox / TAKEN).iterdir()) == []


def test_a_living_sweep_is_not_robbed(tmp_path: Path) -> None:
    """What this process holds is no dead one's."""
    place = FolderInbox(tmp_path)
    (tmp_path / "s.csv").write_text(SHEET)
    from flows.inbox.drop import drops

    with place.claim(drops(place.list())[0], []) as held:
        assert held is not None
        assert FolderInbox(tmp_path).recover() == 0
        assert held.path.is_file()
    assert (tmp_path / "s.csv").is_file()


def test_a_writer_that_goes_on_is_heard(tmp_path: Path) -> None:
    """A sheet that grows after it was taken comes back, for its rows are not all there."""
    place = FolderInbox(tmp_path)
    (tmp_path / "s.csv").write_text(SHEET)
    from flows.inbox.drop import drops

    with (tmp_path / "s.csv").open("a") as writer, place.claim(drops(place.list())[0], []) as held:
        assert held is not None
        writer.write("r2,another,face.png,0.4,256,256\n")
        writer.flush()
        assert not place.finish(held)
    assert (tmp_path / "s.csv").read_text().count("\n") == 3
