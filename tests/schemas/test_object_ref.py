"""What all values have in common."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import schemas
from schemas.object_ref import Value


def kinds() -> Iterator[type[Value]]:
    """Every kind of value that `schemas` has."""
    for module in pkgutil.walk_packages(schemas.__path__, "schemas."):
        importlib.import_module(module.name)
    left = [Value]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if kind.__module__.startswith("schemas."):
            yield kind


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_a_value_is_written_under_its_own_names(kind: type[Value]) -> None:
    """`json_bytes` asks pydantic for nothing: a field that were to be written in a way of its own would not be."""
    how = kind.__pydantic_decorators__
    assert not any((how.field_serializers, how.model_serializers, how.computed_fields))
    for field in kind.model_fields.values():
        assert not any((field.alias, field.serialization_alias, field.exclude))
        assert not [one for one in field.metadata if hasattr(one, "__get_pydantic_core_schema__")]
