"""The whole road from the command line: one CSV in, finished videos out, again and again."""

from __future__ import annotations

import csv
import sysconfig
from pathlib import Path

import pytest

from media.probe import probe_video
from tests.support.cli import Cli, interrupt, silent_rows, write_picture, write_sheet
from tests.support.prefect_server import PrefectServer
from tests.support.up import eventually, standing


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    folder = tmp_path / "a folder with a space"
    write_picture(folder)
    return Cli(folder=folder)


def run(cli: Cli, *words: object, workers: int = 1, code: int = 0) -> dict[str, object]:
    words = ("sheet.csv", "--engine", "pattern", "--workers", workers, "--out", "out", *words)
    return cli.json("run", *words, code=code)


def test_same_sheet_twice_renders_nothing_and_an_edit_renders_its_rows(cli: Cli, long_run: bool) -> None:
    """The second run renders nothing; three edited rows of 20, 60 in the long run, render three clips; all stay."""
    count = 60 if long_run else 20
    rows = silent_rows(count)
    write_sheet(cli.folder, rows)
    first = run(cli, workers=2)
    assert (first["added"], first["jobs_new"], first["state"]) == (count, count, "done")
    videos = sorted((cli.folder / "out" / "videos").glob("*.mp4"))
    assert len(videos) == count
    facts = probe_video(videos[0])
    assert (facts.frames, facts.width, facts.height, facts.has_audio) == (10, 256, 256, True)

    second = run(cli)
    assert (second["added"], second["changed"], second["unchanged"], second["jobs_new"]) == (0, 0, count, 0)

    for n in (3, count // 2, count - 1):
        rows[n]["prompt"] = f"another prompt {n}"
    write_sheet(cli.folder, rows)
    third = run(cli)
    assert (third["changed"], third["unchanged"], third["jobs_new"], third["state"]) == (3, count - 3, 3, "done")
    status = cli.json("status", "sheet")
    assert status["videos"]["published"] == count
    attempts = [row["attempts"] for row in cli.json("rows", "sheet", "--limit", 100)]
    assert len(attempts) == count


def test_retry_renders_only_what_failed(cli: Cli) -> None:
    """A row that cannot be rendered fails alone; retry queues its clip and no other."""
    rows = silent_rows(6)
    rows[2]["prompt"] = "cannot be rendered [fail=bad input]"
    write_sheet(cli.folder, rows)
    done = run(cli, code=1)
    assert done["state"] == "done_with_errors"
    failed = (cli.folder / "out" / "failed.csv").read_text(encoding="utf-8").splitlines()
    assert [row["row_id"] for row in csv.DictReader(failed)] == ["r0002"]

    dry = cli.json("retry", "sheet", "--failed", "--dry-run")
    assert (dry["rows"], dry["jobs"]) == (1, 1)
    assert cli.json("status", "sheet")["jobs"].get("queued", 0) == 0
    retried = cli.json("retry", "sheet", "--failed")
    assert (retried["rows"], retried["jobs"], retried["row_ids"]) == (1, 1, ["r0002"])
    assert cli.json("status", "sheet")["jobs"]["queued"] == 1
    again = run(cli, code=1)
    assert again["jobs_new"] == 0
    explained = cli.json("explain", "sheet", "r0002")
    assert [attempt["ending"] for attempt in explained["attempts"]] == ["bad_input", "bad_input"]
    assert {attempt["blame"] for attempt in explained["attempts"]} == {"row"}


def test_interrupt_and_run_again_resumes(cli: Cli) -> None:
    """Ctrl-C in the middle ends with 130 and loses nothing: the next run renders only the rest."""
    write_sheet(cli.folder, silent_rows(12, prompt="slowly [slow=0.05]"))
    process = cli.start("run", "sheet.csv", "--engine", "pattern", "--out", "out")
    home = cli.folder / "home"
    eventually(lambda: (standing(home, "sheet") or {"jobs": {}})["jobs"].get("rendered", 0) >= 2, every_s=0.1)
    interrupt(process)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "run the same command again" in errors
    before = cli.json("status", "sheet")["jobs"]
    assert 2 <= before["rendered"] < 12
    assert before.get("leased", 0) == 0
    finished = run(cli)
    assert finished["state"] == "done"
    assert len(list((cli.folder / "out" / "videos").glob("*.mp4"))) == 12
    rows = cli.json("rows", "sheet")
    assert [row["state"] for row in rows] == ["published"] * 12


def test_bad_rows_refuse_the_sheet_unless_asked(cli: Cli) -> None:
    """With a bad row nothing is stored and the code is 2; --valid-only renders the good ones and says what is left."""
    rows = silent_rows(3)
    rows[1]["image"] = "missing.png"
    write_sheet(cli.folder, rows)
    refused = cli("run", "sheet.csv", "--engine", "pattern", "--out", "out")
    assert refused.returncode == 2
    assert "REFERENCE_MISSING 1 row (first: line 3)" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert cli.json("status") == []
    done = run(cli, "--valid-only", code=1)
    assert (done["invalid"], done["state"]) == (1, "done_with_errors")
    videos = cli.json("status", "sheet")["videos"]
    assert {state: count for state, count in videos.items() if count} == {"published": 2, "invalid": 1}


@pytest.mark.prefect
def test_the_flow_shows_in_a_prefect_server(cli: Cli, prefect_server: PrefectServer) -> None:
    """A configured server sees the run complete, under the campaign's name, with its progress at 100 %."""
    import json
    import urllib.request

    write_sheet(cli.folder, silent_rows(2))
    run(Cli(folder=cli.folder, prefect=prefect_server.api_url))

    def post(path: str, body: object) -> list[dict[str, object]]:
        request = urllib.request.Request(
            f"{prefect_server.api_url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return list(json.load(answer))

    runs = post("/flow_runs/filter", {})
    assert [(str(r["name"]).split()[0], r["state_type"]) for r in runs] == [("render", "COMPLETED")]
    artifacts = post("/artifacts/filter", {})
    assert [a["data"] for a in artifacts if a["type"] == "progress"] == [100.0]
    assert len(artifacts) <= 10


@pytest.mark.prefect
def test_run_needs_no_server_of_the_users(cli: Cli) -> None:
    """With nothing configured the flow runs on a server started for it, whose state stays under the home folder."""
    write_sheet(cli.folder, silent_rows(1))
    done = run(Cli(folder=cli.folder, prefect=""))
    assert done["state"] == "done"
    assert (cli.folder / "home" / "prefect" / "prefect.db").is_file()


def test_an_out_that_cannot_be_used_is_refused_before_anything_is_spent(cli: Cli) -> None:
    """Neither a file nor another campaign's folder: nothing is submitted, and what lies there stays."""
    write_sheet(cli.folder, silent_rows(1))
    (cli.folder / "file").write_text("a file")
    refused = cli("run", "sheet.csv", "--engine", "pattern", "--out", "file/below")
    assert refused.returncode == 2
    assert f"the deliverables cannot be written to file/below: {cli.folder / 'file'} is no folder" in refused.stderr
    assert run(cli)["added"] == 1
    before = sorted((path, path.stat().st_mtime_ns) for path in (cli.folder / "out").rglob("*"))
    refused = cli("run", "sheet.csv", "--campaign", "other", "--engine", "pattern", "--out", "out")
    assert (refused.returncode, "deliverables of another campaign" in refused.stderr) == (3, True)
    assert [campaign["name"] for campaign in cli.json("status")] == ["sheet"]
    assert sorted((path, path.stat().st_mtime_ns) for path in (cli.folder / "out").rglob("*")) == before


class InstalledCli(Cli):
    """The script that a user calls: `python -m` would look for modules in the folder that it is called in."""

    def command(self, *words: object) -> list[str]:
        return [str(Path(sysconfig.get_path("scripts"), "callsheet")), *map(str, words)]


def test_files_of_the_user_are_no_modules(cli: Cli) -> None:
    """Whatever lies where somebody stands: workers, ranks and the processes that open media load what is installed."""
    write_sheet(cli.folder, silent_rows(1))
    for name in ("flows", "media", "model_runtime", "schemas", "storage", "numpy"):
        (cli.folder / name).mkdir()
        (cli.folder / name / "__init__.py").write_text("raise SystemExit(f'{__name__} is not yours')")
    for name in ("random", "json", "queue"):
        (cli.folder / f"{name}.py").write_text("raise SystemExit(f'{__name__} is not yours')")
    done = run(InstalledCli(folder=cli.folder))
    assert done["state"] == "done"


def test_failed_csv_submits_again_where_it_lies(cli: Cli) -> None:
    """What failed comes back as a sheet that runs as it stands, from the folder it was delivered to."""
    rows = silent_rows(3)
    rows[0]["prompt"] = "cannot be rendered [fail=bad input]"
    write_sheet(cli.folder, rows)
    run(cli, code=1)
    failed = cli.folder / "out" / "failed.csv"
    checked = cli.json("validate", failed, "--engine", "pattern")
    assert (checked["valid"], checked["rows"]) == (True, 1)
    failed.write_text(failed.read_text(encoding="utf-8").replace("[fail=bad input]", "mended"), encoding="utf-8")
    done = cli.json("run", failed, "--engine", "pattern", "--out", cli.folder / "mended")
    assert (done["added"], done["state"]) == (1, "done")


def test_a_sheet_cannot_choose_where_its_references_start(cli: Cli, tmp_path: Path) -> None:
    """A `_base` that nobody submitted from is refused, row by row."""
    write_picture(tmp_path / "secret")
    rows = [{**row, "_base": str(tmp_path / "secret")} for row in silent_rows(2)]
    write_sheet(cli.folder, rows)
    refused = cli.json("validate", "sheet.csv", "--engine", "pattern", code=2)
    assert [p["code"] for p in refused["problems"]] == ["REFERENCE_OUTSIDE_ROOT"] * 2
