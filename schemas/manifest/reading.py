"""One record read into one row: every cell is looked at, whatever is wrong with the others."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TypeVar

from schemas.campaign import CampaignSettings
from schemas.manifest.cells import (
    PRIORITIES,
    SEEDS,
    SHOTS,
    SIDES,
    VIDEO,
    Fault,
    read_duration,
    read_integer,
    read_mode,
    read_not_before,
    readable_id,
    row_id_fault,
    split_references,
    spreadsheet_error,
    text_fault,
    video_fault,
)
from schemas.manifest.columns import BASE, COLUMNS
from schemas.manifest.header import suspects
from schemas.manifest.modes import mode_fault
from schemas.manifest.parse import ParsedManifest
from schemas.manifest.prompts import Placeholders, clean_prompt
from schemas.manifest.records import Record
from schemas.manifest.row import ManifestRow
from schemas.manifest.sizes import SizeRule
from schemas.manifest.videos import Member
from schemas.manifest.wording import lines_of, shown
from schemas.mode import Mode, mode_of
from schemas.model_spec import ModelSpec
from schemas.problem import Code, RowProblem
from schemas.settings import Limits

T = TypeVar("T")

_READ = (*COLUMNS, BASE)


class _Faults(list[Fault]):
    """What was found wrong in one row so far."""

    def take(self, found: T | Fault | None) -> T | None:
        """The value that a cell gave; a fault is kept and gives None."""
        if isinstance(found, Fault):
            self.append(found)
            return None
        return found


def _integer(column: str, cells: Mapping[str, str], allowed: range, code: Code, faults: _Faults) -> int | None:
    """Most cells of most sheets are empty: nothing is asked about them."""
    cell = cells[column]
    return faults.take(read_integer(column, cell, allowed, code)) if cell else None


class RowReader:
    """Reads the records of one sheet; knows what holds for all of its rows."""

    def __init__(self, parsed: ParsedManifest, *, settings: CampaignSettings, model: ModelSpec, limits: Limits) -> None:
        self.parsed = parsed
        self.model = model
        self.limits = limits
        self.most_images = min(limits.images_per_row, model.max_references)
        self.sizes = SizeRule.of(settings, model)
        self._most_chars = max(limits.cell_chars, limits.prompt_chars)
        self.placeholders = Placeholders(
            parsed.columns, parsed.header, settings.placeholders, most_chars=self._most_chars
        )
        self._places = {name: parsed.columns.index(name) for name in _READ if name in parsed.columns}
        self._empty = dict.fromkeys(_READ, "")
        self._renames = {meant: name for name, meant in suspects(parsed.columns).items()}
        self._lines_by_id = self._repeated_ids()
        self._video_names = self._known_videos()

    def read(self, record: Record) -> ManifestRow:
        """The row, with every problem that can be seen without its siblings."""
        faults = _Faults()
        is_whole = len(record.fields) == len(self.parsed.columns)
        row = self._read_cells(record, faults) if is_whole else self._read_broken(record, faults)
        problems = (
            *self.parsed.problems_by_position.get(record.position, ()),
            *(self.problem(fault, record) for fault in faults),
        )
        return row._replace(problems=problems) if problems else row

    def problem(self, fault: Fault, record: Record) -> RowProblem:
        """A fault with its place in the sheet."""
        return RowProblem(
            row_id=readable_id(self._cell(record, "row_id")),
            line=record.line,
            column=fault.column,
            code=fault.code,
            message=fault.message,
            fix=fault.fix,
        )

    def member(self, row: ManifestRow) -> Member:
        """The row beside its siblings. A broken row belongs to its video by what it says, not for want of a word."""
        record = self.parsed.records[row.position]
        is_whole = len(record.fields) == len(self.parsed.columns)
        size = (row.width, row.height) if row.width is not None and row.height is not None else None
        if is_whole and size is None and not self._cell(record, "width") and not self._cell(record, "height"):
            size = (self.sizes.width, self.sizes.height)
        return Member(row=row, size=size, is_named=not is_whole or bool(self._cell(record, "video")))

    def _cell(self, record: Record, name: str) -> str:
        place = self._places.get(name, len(record.fields))
        return record.fields[place].strip() if place < len(record.fields) else ""

    def _read_cells(self, record: Record, faults: _Faults) -> ManifestRow:
        fields = record.fields
        cell = self._empty | {name: fields[place].strip() for name, place in self._places.items()}
        row_id = self._read_row_id(cell["row_id"], record.line, faults)
        faults.take(video_fault(cell["video"]))
        images = self._read_images(cell["image"], faults)
        width = _integer("width", cell, SIDES, Code.SIZE_INVALID, faults)
        height = _integer("height", cell, SIDES, Code.SIZE_INVALID, faults)
        faults.take(self.sizes.fault(cell["width"], cell["height"], width, height))
        for name in ("consent_ref", BASE):
            if cell[name]:
                faults.take(text_fault(name, cell[name]))
        return ManifestRow(
            row_id=row_id,
            line=record.line,
            position=record.position,
            byte_start=record.byte_start,
            byte_end=record.byte_end,
            video=cell["video"] if VIDEO.fullmatch(cell["video"]) else row_id,
            shot_order=_integer("shot", cell, SHOTS, Code.SHOT_INVALID, faults),
            prompt=self._read_prompt(cell["prompt"], fields, faults),
            images=images,
            audio=self._read_audio(cell["audio"], faults),
            mode=self._read_mode(cell, images, faults),
            seed=_integer("seed", cell, SEEDS, Code.SEED_INVALID, faults),
            negative_prompt=self._read_negative_prompt(cell["negative_prompt"], fields, faults),
            width=width,
            height=height,
            duration=self._read_duration(cell, faults) if cell["duration"] else None,
            priority=_integer("priority", cell, PRIORITIES, Code.PRIORITY_INVALID, faults),
            not_before=faults.take(read_not_before(cell["not_before"])) if cell["not_before"] else None,
            consent_ref=cell["consent_ref"],
            base=cell[BASE],
        )

    def _read_broken(self, record: Record, faults: _Faults) -> ManifestRow:
        """A record with too few or too many cells: they may stand in the wrong columns, so none but the id is judged.

        If any piece of it names a video of the sheet, the record counts as a shot of that video: better one
        video too many held back than one published with a shot missing.
        """
        id_cell = self._cell(record, "row_id")
        row_id = f"_line-{record.line}"
        if readable_id(id_cell):
            row_id = self._read_row_id(id_cell, record.line, faults)
        pieces = (piece.strip(' "') for field in record.fields for piece in re.split("[,;\t|\r\n]", field))
        video = next((piece for piece in pieces if piece in self._video_names), row_id)
        return ManifestRow(
            row_id=row_id,
            line=record.line,
            position=record.position,
            byte_start=record.byte_start,
            byte_end=record.byte_end,
            video=video,
            shot_order=None,
            prompt="",
            images=(),
            audio="",
            mode=Mode.TIA,
            seed=None,
            negative_prompt="",
            width=None,
            height=None,
            duration=None,
            priority=None,
            not_before=None,
            consent_ref="",
            base="",
        )

    def _read_row_id(self, cell: str, line: int, faults: _Faults) -> str:
        fault = row_id_fault(cell)
        lines = self._lines_by_id.get(cell)
        if fault is None and lines:
            fault = Fault(
                code=Code.ROW_ID_DUPLICATE,
                column="row_id",
                message=f"row_id {shown(cell)} is also on {lines_of(lines, apart_from=line)}",
                fix="give every row an id of its own",
            )
        if fault is None:
            return cell
        faults.append(fault)
        return f"_line-{line}"

    def _read_prompt(self, cell: str, fields: tuple[str, ...], faults: _Faults) -> str:
        if fault := spreadsheet_error("prompt", cell, Code.PROMPT_MISSING):
            faults.append(fault)
            return ""
        filled, unfilled = self.placeholders.fill(cell, fields, column="prompt")
        faults.extend(unfilled)
        prompt = clean_prompt(filled)
        if not prompt.strip():
            faults.append(
                Fault(
                    code=Code.PROMPT_MISSING,
                    column="prompt",
                    message="prompt is empty" if not cell else f"prompt {shown(cell)} has no text in it",
                    fix="write what happens in the shot",
                )
            )
        self._check_prose("prompt", prompt, faults)
        return prompt

    def _read_negative_prompt(self, cell: str, fields: tuple[str, ...], faults: _Faults) -> str:
        if not cell:
            return ""
        filled, unfilled = self.placeholders.fill(cell, fields, column="negative_prompt")
        faults.extend(unfilled)
        self._check_prose("negative_prompt", filled, faults)
        return filled

    def _check_prose(self, column: str, text: str, faults: _Faults) -> None:
        faults.take(text_fault(column, text, is_prose=True))
        if len(text) > self.limits.prompt_chars:
            size = f"{len(text):,}" if len(text) <= self._most_chars else f"more than {self._most_chars:,}"
            faults.append(
                Fault(
                    code=Code.PROMPT_TOO_LONG,
                    column=column,
                    message=f"{column} has {size} characters, placeholders filled;"
                    f" expected at most {self.limits.prompt_chars:,}",
                    fix="shorten the text; the model reads no more than its first few hundred words",
                )
            )

    def _read_images(self, cell: str, faults: _Faults) -> tuple[str, ...]:
        images = split_references(cell)
        faults.take(text_fault("image", cell))
        for image in images:
            faults.take(spreadsheet_error("image", image, Code.REFERENCE_MISSING))
        if len(images) > self.most_images:
            faults.append(
                Fault(
                    code=Code.REFERENCES_TOO_MANY,
                    column="image",
                    message=f"image names {len(images)} pictures; expected at most {self.most_images}",
                    fix="leave the most telling pictures only",
                )
            )
        return images

    def _read_audio(self, cell: str, faults: _Faults) -> str:
        faults.take(text_fault("audio", cell) or spreadsheet_error("audio", cell, Code.REFERENCE_MISSING))
        if len(references := split_references(cell)) > 1:
            faults.append(
                Fault(
                    code=Code.REFERENCES_TOO_MANY,
                    column="audio",
                    message=f"audio names {len(references)} files; expected one",
                    fix="join the sound into one file, or make one row per file with the same video name",
                )
            )
        return cell

    def _read_mode(self, cell: Mapping[str, str], images: tuple[str, ...], faults: _Faults) -> Mode:
        filled = mode_of(images=len(images), speech=bool(cell["audio"]))
        stated = read_mode(cell["mode"])
        if isinstance(stated, Fault):
            faults.append(stated)
            return filled or Mode.TIA
        faults.take(mode_fault(stated, filled, model=self.model, renames=self._renames))
        return stated or filled or Mode.TIA

    def _read_duration(self, cell: Mapping[str, str], faults: _Faults) -> float | None:
        duration = faults.take(read_duration(cell["duration"], self.limits.audio_max_s))
        if cell["audio"]:
            faults.append(
                Fault(
                    code=Code.DURATION_WITH_AUDIO,
                    column="duration",
                    message=f"duration {shown(cell['duration'])} is given beside audio; a shot with speech is as long"
                    " as its speech",
                    fix="leave duration empty where there is audio",
                )
            )
        return duration

    def _repeated_ids(self) -> dict[str, list[int]]:
        """{id: lines} of the ids that more than one record has."""
        ids = [self._cell(record, "row_id") for record in self.parsed.records]
        repeated = {name for name, count in Counter(ids).items() if count > 1}
        lines: dict[str, list[int]] = defaultdict(list)
        if repeated:
            for name, record in zip(ids, self.parsed.records, strict=True):
                if name in repeated:
                    lines[name].append(record.line)
        return lines

    def _known_videos(self) -> frozenset[str]:
        """The names in `video` cells of whole records, as far as a video can have them."""
        if "video" not in self._places:
            return frozenset()
        width = len(self.parsed.columns)
        names = {self._cell(record, "video") for record in self.parsed.records if len(record.fields) == width}
        return frozenset(filter(VIDEO.fullmatch, names))
