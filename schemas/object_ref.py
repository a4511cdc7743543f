"""Where stored bytes are and what they must be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, ParamSpec, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

_Fields = ParamSpec("_Fields")
_Made = TypeVar("_Made", bound="Value")


class Value(BaseModel):
    """A frozen value that crosses a process border or rests in the ledger as JSON. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64")

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types only."""
        return self.model_dump(mode="json")

    def json_bytes(self) -> bytes:
        """As `model_dump_json`, in UTF-8 and at a quarter of its price.

        For values all of whose fields are text, numbers, truth, enums, dates with their zone (written in UTC), other
        such values, or tuples and mappings of these.

        Raises:
            TypeError: a field is something else.
        """
        return orjson.dumps(self.__dict__, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The inverse of `as_json`.

        Raises:
            pydantic.ValidationError: `data` is not of this shape.
        """
        return cls.model_validate(data)


def unchecked(kind: Callable[_Fields, _Made], /, *_: _Fields.args, **fields: _Fields.kwargs) -> _Made:
    """A value of our own making, at half the price: mypy looks at the fields' names and types, nobody later.

    For what is made by the hundred thousand, and validated when it is read back. Every field is given, those with
    defaults too, in the order of the class: that of the value's JSON. A float is a float here, no integer. Nobody may
    change the `model_fields_set` of such a value.
    """
    assert isinstance(kind, type)
    made: _Made = object.__new__(kind)
    names = _names(kind)
    assert len(fields) == len(names), f"{kind.__name__} has {len(names)} fields, given: {', '.join(fields)}"
    _set(made, "__dict__", fields)
    _set(made, "__pydantic_fields_set__", names)
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made


_set = object.__setattr__
"""Values are frozen."""


@cache
def _names(kind: type[Value]) -> set[str]:
    """One set for all values of a kind: pydantic copies it before it changes it."""
    return set(kind.model_fields)


def _plain(value: object) -> dict[str, Any] | str:
    if isinstance(value, Value):
        return value.__dict__
    if isinstance(value, datetime) and value.tzinfo is not None:
        # In UTC: a zone may be off by seconds, which few readers understand.
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"a field is {type(value).__name__}, expected what JSON has")


class ObjectRef(Value):
    """One object in the store: the pointer that the ledger commits.

    `key` is relative to the store's root; `sha256` is of the bytes that were *read back*; `size` in bytes.
    """

    key: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    media_type: str = "application/octet-stream"
