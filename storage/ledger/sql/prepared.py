"""Statements that are compiled once: constants of their modules, run for every clip with other values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeGuard

from sqlalchemy import BindParameter, Boolean, ClauseElement, Connection, Dialect
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import ReturnsRows

from storage.ledger.sql import driver

Record = Mapping[str, Any]
"""One record of an answer, by the names of its columns."""

_MOST_TEXTS = 100


class Prepared:
    """A statement of SQLAlchemy's that is written as text once for each kind of database.

    Values are bound by name where the statement has a `bindparam`; a list, where that is an expanding one. They go to
    the driver as they are: the ledger's columns hold text, numbers and booleans only.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement
        self._lists = sorted({part.key for part in visitors.iterate(statement) if _is_list(part)})
        self._texts: dict[Any, _Text] = {}
        self._latest: tuple[Dialect | None, _Text | None] = None, None
        """What was asked for last, where the text does not depend on what is bound."""

    def rows(self, conn: Connection, bound: Mapping[str, Any]) -> Sequence[Record]:
        text = self._text(conn.dialect, bound)
        return text.records(driver.ask(conn, text.text, text.parameters(bound)))

    def run(self, conn: Connection, bound: Mapping[str, Any]) -> int:
        """How many records the statement touched."""
        text = self._text(conn.dialect, bound)
        return driver.tell(conn, text.text, text.parameters(bound))

    def _text(self, dialect: Dialect, bound: Mapping[str, Any]) -> _Text:
        known, latest = self._latest  # in one step: other threads come by, too
        if dialect is known and latest is not None:
            return latest
        key: tuple[Any, ...] = dialect.name, dialect.server_version_info
        if self._lists:
            # A list has as many placeholders as it has items.
            key += tuple(len(bound[name]) for name in self._lists)
        text = self._texts.get(key)
        if text is None:
            if len(self._texts) >= _MOST_TEXTS:
                self._texts = {}
            text = self._texts[key] = _Text.of(self.statement, dialect, bound)
        if not self._lists:
            self._latest = dialect, text
        return text


@dataclass(frozen=True, kw_only=True, slots=True)
class _Text:
    text: str
    fixed: Mapping[str, Any]
    """Values that stand in the statement itself."""
    asked: Mapping[str, Callable[[], Any]]
    """Values that the statement asks for each time it is run."""
    lists: Mapping[str, list[str]]
    """The placeholders of each list's items."""
    ordered: Callable[[Mapping[str, Any]], Any] | None
    """Values in the order of the placeholders; None where these are named."""
    columns: tuple[str, ...]
    is_plain: bool
    """Nothing but given values, each of them one."""
    booleans: tuple[str, ...]
    """Columns of truth values that the driver gives as numbers, as SQLite keeps them."""

    @classmethod
    def of(cls, statement: ClauseElement, dialect: Dialect, bound: Mapping[str, Any]) -> _Text:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        state = compiled.construct_expanded_state(bound)
        binds = compiled.binds
        given = {name for name, bind in binds.items() if bind.required}
        asked = {name: bind.callable for name, bind in binds.items() if bind.callable}
        lists = {name: list(names) for name, names in state.parameter_expansion.items() if name in given}
        told = given | asked.keys() | {name for names in lists.values() for name in names}
        order = state.positiontup
        fixed = {name: value for name, value in state.parameters.items() if name not in told}
        return cls(
            text=state.statement,
            fixed=fixed,
            is_plain=not (fixed or asked or lists),
            asked=asked,
            lists=lists,
            ordered=None if order is None else in_order(tuple(order)),
            columns=tuple(statement.exported_columns.keys()) if isinstance(statement, ReturnsRows) else (),
            booleans=_booleans(statement, dialect),
        )

    def parameters(self, bound: Mapping[str, Any]) -> Any:
        if self.is_plain:
            return bound if self.ordered is None else self.ordered(bound)
        values = {**self.fixed, **bound}
        for name, ask in self.asked.items():
            values[name] = ask()
        if self.lists:
            values |= {
                name: item for key, names in self.lists.items() for name, item in zip(names, bound[key], strict=True)
            }
        return values if self.ordered is None else self.ordered(values)

    def records(self, found: Sequence[Any]) -> Sequence[Record]:
        records = [dict(zip(self.columns, values, strict=True)) for values in found]
        if self.booleans:
            for record in records:
                record.update((name, None if record[name] is None else bool(record[name])) for name in self.booleans)
        return records


def _is_list(part: Any) -> TypeGuard[BindParameter[Any]]:
    return isinstance(part, BindParameter) and part.expanding and part.required


def in_order(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    """A function that gives the values of these names as a tuple, however many they are."""
    if len(names) == 1:
        [name] = names
        return lambda values: (values[name],)
    return itemgetter(*names) if names else lambda _: ()


def _booleans(statement: ClauseElement, dialect: Dialect) -> tuple[str, ...]:
    if dialect.supports_native_boolean or not isinstance(statement, ReturnsRows):
        return ()
    return tuple(name for name, column in statement.exported_columns.items() if isinstance(column.type, Boolean))
