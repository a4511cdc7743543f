"""What is wrong with the form of single records: quotes, number of cells, damaged characters, length of cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from schemas.manifest.cells import readable_id
from schemas.manifest.encoding import DAMAGE, damage_name, encode, is_damaged
from schemas.manifest.records import Lines, Record
from schemas.manifest.wording import counted, shown
from schemas.problem import Code, RowProblem
from schemas.settings import Limits


def check_form(
    records: Sequence[Record], *, lines: Lines, columns: Sequence[str], limits: Limits
) -> Mapping[int, tuple[RowProblem, ...]]:
    """{position of the record: its problems} for the records that have any."""
    inspector = _Inspector(lines, columns, limits)
    found = {record.position: tuple(inspector.problems(record)) for record in records if inspector.suspects(record)}
    return {position: problems for position, problems in found.items() if problems}


class _Inspector:
    def __init__(self, lines: Lines, columns: Sequence[str], limits: Limits) -> None:
        self.lines = lines
        self.columns = columns
        self.limits = limits
        self.is_damaged = is_damaged(lines.text)
        self.row_id = columns.index("row_id")

    def suspects(self, record: Record) -> bool:
        """Cheap: False for nearly every record of a sound sheet."""
        return (
            self.is_damaged
            or len(record.fields) != len(self.columns)
            or bool(record.faults)
            or record.byte_end - record.byte_start > self.limits.cell_chars
        )

    def problems(self, record: Record) -> Iterator[RowProblem]:
        yield from self._quotes(record)
        if not any(fault.code is Code.QUOTE_UNTERMINATED for fault in record.faults):
            yield from self._count(record)
        if self.is_damaged:
            yield from self._damage(record)
        yield from self._length(record)

    def _quotes(self, record: Record) -> Iterator[RowProblem]:
        for fault in record.faults:
            at = self.lines.number_at(fault.at) + 1
            is_open = fault.code is Code.QUOTE_UNTERMINATED
            message = fault.message if is_open or at == record.line else f"{fault.message} (line {at})"
            yield self._problem(
                record, fault.code, message, fault.fix, cell=fault.cell, line=at if is_open else record.line
            )

    def _count(self, record: Record) -> Iterator[RowProblem]:
        cells, names = len(record.fields), len(self.columns)
        if cells != names:
            yield self._problem(
                record,
                Code.ROW_RAGGED,
                f"the row has {counted(cells, 'cell')}, the header {counted(names, 'column')}",
                "put quotes around cells that hold the delimiter"
                if cells > names
                else "give every column a cell, an empty one where there is nothing to say",
            )

    def _damage(self, record: Record) -> Iterator[RowProblem]:
        """One problem per cell and kind; the byte offset is that of the first damaged character."""
        in_cells = [(index, m.group()) for index, field in enumerate(record.fields) for m in DAMAGE.finditer(field)]
        if not in_cells:
            return
        seen = set()
        for (cell, character), offset in zip(in_cells, self._damage_offsets(record), strict=True):
            code = Code.NUL_BYTE if character == "\0" else Code.ENCODING_INVALID
            if (cell, code) in seen:
                continue
            seen.add((cell, code))
            yield self._problem(
                record,
                code,
                f"{damage_name(character)} at byte offset {offset}",
                "delete the character and type the text again, then save the sheet as CSV UTF-8",
                cell=cell,
            )

    def _damage_offsets(self, record: Record) -> Iterator[int]:
        start = self.lines.starts[record.line - 1]
        encoding = self.lines.decoded.encoding
        offset, at = record.byte_start, start
        for match in DAMAGE.finditer(self.lines.text, start):
            offset += len(encode(self.lines.text[at : match.start()], encoding))
            if offset >= record.byte_end:
                return
            at = match.start()
            yield offset

    def _length(self, record: Record) -> Iterator[RowProblem]:
        for cell, field in enumerate(record.fields):
            if len(field) > self.limits.cell_chars:
                yield self._problem(
                    record,
                    Code.CELL_TOO_LONG,
                    f"the cell has {len(field):,} characters, more than the {self.limits.cell_chars:,} allowed;"
                    f" it begins with {shown(field[:40])}",
                    "shorten the cell",
                    cell=cell,
                )

    def _problem(
        self, record: Record, code: Code, message: str, fix: str, *, cell: int | None = None, line: int = 0
    ) -> RowProblem:
        own_id = record.fields[self.row_id].strip() if self.row_id < len(record.fields) else ""
        return RowProblem(
            row_id=readable_id(own_id),
            line=line or record.line,
            column=self.columns[cell] if cell is not None and cell < len(self.columns) else "",
            code=code,
            message=message,
            fix=fix,
        )
