"""Write a campaign's deliverables into a folder, as it stands now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.delivery.collect import BAD, Collected, collect
from flows.delivery.defaults import campaign_file
from flows.delivery.folder import DeliveryFolder, Difference, unusable
from flows.delivery.gallery import gallery
from flows.delivery.links import Files, local_files, objects_by_name, presigned_files, sheet_links, stems_of
from flows.delivery.progress import Report, silent
from flows.delivery.report import report as report_page
from flows.delivery.report import write_contact_sheet
from flows.delivery.sheets import StoredSheet, failed, results, stored_sheet
from flows.delivery.summary import final_line
from schemas.campaign import ManifestRef
from schemas.digest import sha256_hex
from schemas.errors import Corrupted
from schemas.states import VideoState
from storage.ledger.protocol import Ledger
from storage.objects.protocol import ObjectStore

RESULTS, FAILED, DEFAULTS = "results.csv", "failed.csv", "campaign.toml"
REPORT, PICTURE = "report.md", "report.jpg"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What was written, in numbers."""

    out: Path
    campaign_id: str
    rows: int
    videos: int
    published: int
    failed_rows: int
    """Rows in failed.csv."""
    files: Difference
    final_line: str

    def as_dict(self) -> dict[str, Any]:
        """The shape of `--json`."""
        return {
            "out": str(self.out),
            "campaign_id": self.campaign_id,
            "rows": self.rows,
            "videos": self.videos,
            "published": self.published,
            "failed_rows": self.failed_rows,
            "files_fetched": self.files.fetched,
            "files_kept": self.files.kept,
            "files_removed": self.files.removed,
            "summary": self.final_line,
        }


def deliver(
    ledger: Ledger,
    store: ObjectStore,
    campaign_id: str,
    out: Path,
    *,
    presign_s: int | None = None,
    report: Report = silent,
) -> Delivery:
    """Bring `out` up to date: videos, pictures, sheets, report, gallery, each file whole or not at all.

    Run it again at any time, also after it was killed: only what is missing or different is fetched, and what is
    published no longer is removed if callsheet put it there. With `presign_s` no video is copied; sheet and gallery
    hold links that work for so many seconds without credentials.

    Raises:
        NotFound: no such campaign.
        Refused: `out` belongs to another campaign, or the store has no presigned links.
        Corrupted: a stored file is not what the ledger says.
        Retryable: ledger or store are away; run the same again.
        InvalidInput: `out` cannot be written to.
    """
    campaign = ledger.campaign(campaign_id)
    sheet = load_sheet(campaign.manifest, store) if campaign.manifest else None
    collected = collect(ledger, campaign, prompt_of=sheet.prompt if sheet else None)
    try:
        return _deliver(collected, sheet, store, out, presign_s=presign_s, report=report)
    except OSError as error:
        raise unusable(out, error.strerror or str(error)) from error


def _deliver(
    collected: Collected,
    sheet: StoredSheet | None,
    store: ObjectStore,
    out: Path,
    *,
    presign_s: int | None,
    report: Report,
) -> Delivery:
    # First of all: a store without such links refuses, and then nothing is to be there.
    presigned = None if presign_s is None else presigned_files(collected, store, expires_s=presign_s)
    out.mkdir(parents=True, exist_ok=True)
    folder = DeliveryFolder(out, collected.campaign.campaign_id)
    with folder.occupied():
        files = _fill(folder, collected, sheet, store, presigned=presigned, report=report)
    return Delivery(
        out=out,
        campaign_id=collected.campaign.campaign_id,
        rows=len(collected.rows),
        videos=len(collected.videos),
        published=collected.states.get(VideoState.PUBLISHED, 0),
        failed_rows=len(collected.rows_in(BAD)),
        files=files,
        final_line=final_line(collected),
    )


def _fill(
    folder: DeliveryFolder,
    collected: Collected,
    sheet: StoredSheet | None,
    store: ObjectStore,
    *,
    presigned: dict[str, Files] | None,
    report: Report,
) -> Difference:
    stems = stems_of(collected)
    names = local_files(collected, stems)
    wanted = objects_by_name(collected, names)
    links = names if presigned is None else presigned
    brought = folder.place_all(wanted if presigned is None else {}, store, report)
    if sheet is not None:
        places = sheet_links(collected, store, links, presigned=presigned is not None)
        with folder.open(RESULTS) as stream:
            stream.writelines(results(collected, sheet, places))
        with folder.open(FAILED) as stream:
            stream.writelines(failed(collected, sheet))
    has_picture = write_contact_sheet(collected, store, stems, folder.out / PICTURE)
    folder.write(REPORT, report_page(collected, picture=PICTURE if has_picture else "").encode("utf-8", "replace"))
    pages = _write_gallery(collected, folder, links, report)
    others = [PICTURE] if has_picture else []
    if collected.rows_in(BAD):
        defaults = campaign_file(collected.campaign.settings).encode("utf-8", "replace")
        others += [DEFAULTS] if folder.write_unless_theirs(DEFAULTS, defaults) else []
    folder.note_written([*pages, *others])
    removed = folder.remove_others([*wanted, *pages, *others])
    return Difference(fetched=brought.fetched, kept=brought.kept, removed=removed)


def load_sheet(ref: ManifestRef, store: ObjectStore) -> StoredSheet:
    """The manifest as it was submitted.

    Raises:
        NotFound, Corrupted: the stored manifest is gone or changed.
    """
    with store.open(ref.object.key) as stream:
        data = stream.read(ref.object.size + 1)
    if sha256_hex(data) != ref.object.sha256:
        raise Corrupted(
            f"the stored manifest {ref.object.key} is not the one that was submitted", fix="submit the sheet again"
        )
    return stored_sheet(ref, data)


def _write_gallery(collected: Collected, folder: DeliveryFolder, files: dict[str, Files], report: Report) -> list[str]:
    names = []
    report("writing the gallery", 0, len(collected.videos))
    for name, content in gallery(collected, files):
        folder.write(name, content)
        names.append(name)
    report("writing the gallery", len(collected.videos), len(collected.videos))
    return names
