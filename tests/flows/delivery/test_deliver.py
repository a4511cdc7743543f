from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import av
import pytest

from flows.delivery import deliver
from flows.delivery.collect import BAD, collect
from flows.delivery.folder import RECORD, DeliveryFolder
from flows.delivery.links import local_files, sheet_links, stems_of
from schemas.errors import Corrupted, InvalidInput, Refused
from schemas.states import VideoState
from storage.ledger.memory import MemoryLedger
from storage.objects.directory import DirectoryStore
from storage.objects.whole_file import part_of
from tests.support.campaigns import Stage
from tests.support.s3 import S3Server

SHEET = b"row_id,prompt,image\na,A man speaks,a.png\nb,A woman sings,a.png\nc,A child laughs,a.png\n"


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_everything_is_in_the_folder_and_plays(each_stage: Stage, tmp_path: Path) -> None:
    campaign = each_stage.submit(SHEET)
    each_stage.play(campaign, failing={"c": "no face"})
    out = tmp_path / "out"
    delivery = deliver(each_stage.ledger, each_stage.store, campaign, out)
    assert sorted(path.name for path in (out / "videos").iterdir()) == ["a.mp4", "b.mp4"]
    for name in ("results.csv", "failed.csv", "index.html", "report.md", "report.jpg"):
        assert (out / name).stat().st_size > 0
    with av.open(str(out / "videos" / "a.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 25
    assert (delivery.rows, delivery.videos, delivery.published, delivery.failed_rows) == (3, 3, 2, 1)
    assert delivery.as_dict()["summary"] == delivery.final_line


def test_a_second_delivery_fetches_nothing_again(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    first = deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    before = tree(tmp_path / "out" / "videos") | tree(tmp_path / "out" / "gallery")
    second = deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    assert tree(tmp_path / "out" / "videos") | tree(tmp_path / "out" / "gallery") == before
    assert (first.files.fetched, second.files.fetched, second.files.kept) == (15, 0, 15)


def test_a_video_of_a_directory_store_takes_no_second_place_on_the_disk(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    assert all(path.stat().st_nlink == 2 for path in (tmp_path / "out" / "videos").iterdir())


def test_what_was_lost_or_changed_is_brought_again(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    videos = tmp_path / "out" / "videos"
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    good = (videos / "b.mp4").read_bytes()
    (videos / "a.mp4").unlink()
    (videos / "b.mp4").unlink()
    (videos / "b.mp4").write_bytes(b"scribble")
    assert deliver(stage.ledger, stage.store, campaign, tmp_path / "out").files.fetched == 2
    assert (videos / "b.mp4").read_bytes() == good
    assert (videos / "a.mp4").is_file()


def test_a_video_that_is_published_no_more_goes_and_other_peoples_files_stay(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    out = tmp_path / "out"
    deliver(stage.ledger, stage.store, campaign, out)
    (out / "videos" / "holiday.mp4").write_bytes(b"mine")
    (out / "videos" / "b.mp4").unlink()
    (out / "videos" / "b.mp4").write_bytes(b"my own cut of it")
    stage.submit(SHEET.splitlines(keepends=True)[0] + b"a,A man speaks,a.png\n")
    assert deliver(stage.ledger, stage.store, campaign, out).files.removed > 0
    assert sorted(path.name for path in (out / "videos").iterdir()) == ["a.mp4", "b.mp4", "holiday.mp4"]
    assert (out / "videos" / "b.mp4").read_bytes() == b"my own cut of it"
    assert sorted(path.name for path in (out / "gallery" / "pictures").iterdir()) == [
        "a.1.jpg",
        "a.2.jpg",
        "a.3.jpg",
        "a.jpg",
    ]


def test_a_folder_of_another_campaign_is_refused_before_anything_is_written(stage: Stage, tmp_path: Path) -> None:
    first, second = stage.submit(SHEET, name="one"), stage.submit(SHEET, name="two")
    deliver(stage.ledger, stage.store, first, tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(Refused, match="another campaign"):
        deliver(stage.ledger, stage.store, second, tmp_path / "out")
    assert tree(tmp_path / "out") == before


def test_a_record_that_names_files_outside_the_folder_removes_nothing(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(SHEET)
    victim = tmp_path / "victim.txt"
    victim.write_bytes(b"precious")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("../victim.txt", str(victim)):
        files = {name: {"sha256": "", "size": 8, "mtime_ns": 0}}
        (out / RECORD).write_text(json.dumps({"campaign_id": campaign, "files": files}))
        deliver(stage.ledger, stage.store, campaign, out)
        assert victim.read_bytes() == b"precious"


def test_a_stored_video_that_is_not_what_the_ledger_says_is_never_handed_out(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    row = next(stage.ledger.rows(campaign))
    assert row.publication is not None
    stage.store.put_bytes(row.publication.video.key, b"cut short", media_type="video/mp4")
    with pytest.raises(Corrupted):
        deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    assert not (tmp_path / "out" / "videos" / "a.mp4").exists()
    assert not (tmp_path / "out" / "index.html").exists()


def test_a_folder_that_cannot_be_written_is_an_error_with_its_fix(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(SHEET)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidInput, match="cannot be written") as caught:
        deliver(stage.ledger, stage.store, campaign, tmp_path / "file" / "out")
    assert caught.value.fix


def test_a_delivery_that_was_killed_is_finished_by_the_next_one(stage: Stage, tmp_path: Path) -> None:
    """Killed between two videos, the folder holds whole files only, and the next run leaves no trace of it."""
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    names = {
        f"videos/{row.row_id}.mp4": row.publication.video.as_json()
        for row in stage.ledger.rows(campaign)
        if row.publication
    }
    program = """
        import json, os, signal, sys
        from pathlib import Path
        from flows.delivery.folder import DeliveryFolder
        from schemas.object_ref import ObjectRef
        from storage.objects.directory import DirectoryStore
        from storage.objects.whole_file import part_of
        class Dying(DirectoryStore):
            def public_location(self, key):
                if done:
                    # What a copy that is under way has beside its name at that moment.
                    part_of(Path(sys.argv[1]) / "videos" / "b.mp4").write_bytes(b"half")
                    os.kill(os.getpid(), signal.SIGKILL)
                done.append(key)
                return super().public_location(key)
        done = []
        out, objects, campaign, names = sys.argv[1:]
        wanted = {name: ObjectRef.from_json(ref) for name, ref in json.loads(names).items()}
        DeliveryFolder(Path(out), campaign).place_all(wanted, Dying(Path(objects)), lambda *_: None)
    """
    out = tmp_path / "out"
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(program),
            str(out),
            str(tmp_path / "objects"),
            campaign,
            json.dumps(names),
        ],
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert ended.returncode == -9
    stage.submit(SHEET.splitlines(keepends=True)[0] + b"c,A child laughs,a.png\n")
    deliver(stage.ledger, stage.store, campaign, out)
    assert [path.name for path in (out / "videos").iterdir()] == ["c.mp4"]
    assert not list(out.rglob("*.part"))


def test_a_delivery_beside_another_leaves_its_parts_alone(stage: Stage, tmp_path: Path) -> None:
    """While somebody is in the folder, a half-brought file may be theirs; the next one who is alone clears it away."""
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    out = tmp_path / "out"
    deliver(stage.ledger, stage.store, campaign, out)
    part = part_of(out / "videos" / "a.mp4")
    part.write_bytes(b"half")
    theirs = out / "videos" / ".notes.part"
    theirs.write_bytes(b"precious")
    with DeliveryFolder(out, campaign).occupied():
        part.write_bytes(b"half")
        deliver(stage.ledger, stage.store, campaign, out)
        assert part.exists()
    deliver(stage.ledger, stage.store, campaign, out)
    assert not part.exists()
    assert theirs.exists()


def test_a_directory_has_no_links_that_work_outside(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    with pytest.raises(Refused):
        deliver(stage.ledger, stage.store, campaign, tmp_path / "out", presign_s=3600)
    assert not (tmp_path / "out").exists()


def test_presigned_links_work_without_credentials_and_are_nowhere_but_in_the_folder(
    rclone_s3: S3Server, tmp_path: Path
) -> None:
    stage = Stage(MemoryLedger(), rclone_s3.store())
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out", presign_s=600)
    first = (tmp_path / "out" / "results.csv").read_text().splitlines()[1]
    link = next(cell for cell in first.split(",") if cell.startswith("http") and ".mp4" in cell)
    with urlopen(link) as answer:
        assert answer.read(12)[4:8] == b"ftyp"
    assert link.replace("&", "&amp;") in (tmp_path / "out" / "index.html").read_text()
    assert not (tmp_path / "out" / "videos").exists()
    assert "X-Amz" not in repr(list(stage.ledger.rows(campaign)))


def test_videos_of_an_s3_store_are_downloaded_and_named_by_their_address(rclone_s3: S3Server, tmp_path: Path) -> None:
    stage = Stage(MemoryLedger(), rclone_s3.store())
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    assert deliver(stage.ledger, stage.store, campaign, tmp_path / "out").files.fetched == 0
    first = (tmp_path / "out" / "results.csv").read_text().splitlines()[1]
    assert ",s3://" in first
    assert len(list((tmp_path / "out" / "videos").iterdir())) == 3


def test_a_report_treats_strangers_text_as_text(stage: Stage, tmp_path: Path) -> None:
    campaign = stage.submit(SHEET)
    stage.play(campaign, failing={"a": "<script>x</script> | [l](javascript:1)\n# heading \u202e`code`"})
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    line = next(line for line in text.splitlines() if "script" in line)
    assert r"\<script\>x\</script\> \| \[l\]\(javascript:1\) \# heading \\u202e\`code\`" in line
    assert "| published | 2 |" in text
    assert "GPU time spent" in text


def test_the_store_is_only_read(tmp_path: Path) -> None:
    """A delivery to somebody who may not write to the store works: nothing of it is kept there."""
    objects = DirectoryStore(tmp_path / "objects")
    stage = Stage(MemoryLedger(), objects)
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    before = [(found.key, found.modified_at) for found in objects.list()]
    deliver(stage.ledger, stage.store, campaign, tmp_path / "out")
    assert [(found.key, found.modified_at) for found in objects.list()] == before


def test_a_video_that_waits_for_a_persons_eye_lies_apart_and_is_linked_from_no_sheet(stage: Stage) -> None:
    campaign = stage.submit(SHEET)
    stage.play(campaign)
    found = collect(stage.ledger, stage.ledger.campaign(campaign))
    first = next(iter(found.videos.values()))
    doubtful = replace(first, state=VideoState.NEEDS_REVIEW)
    found = replace(found, videos={**found.videos, first.video_id: doubtful})
    files = local_files(found, stems_of(found))
    assert files[first.video_id].video == "review/a.mp4"
    assert first.video_id not in sheet_links(found, stage.store, files, presigned=False)
    assert len(found.rows_in(BAD)) == 0
