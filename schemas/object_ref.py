"""Where stored bytes are and what they must be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field


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
