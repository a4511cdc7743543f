"""One canonical way of writing a value: what is equal has one digest, what cannot be written so has none."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.digest import canonical_json, digest, sha256_hex
from schemas.mode import Mode

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
WHOLE = st.integers(min_value=-(2**70), max_value=2**70)
BROKEN = st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | WHOLE | BROKEN | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)


@given(JSON)
def test_canonical_json_is_json_with_sorted_keys(value: Any) -> None:
    """As the standard library writes it, so that a digest can be made again without callsheet."""
    said = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical_json(value) == said
    assert digest(value) == sha256_hex(said.encode())


@pytest.mark.parametrize("number", [5e-05, 1e-06, 1e-7, 1.5e-10, 0.0001, 1e15, 1e16, 1.7e308, 5e-324, -0.0, 2**64])
def test_numbers_are_spelt_in_one_way(number: float) -> None:
    """Whatever writes JSON, today or after an upgrade: a key that changed would have everything rendered again."""
    assert canonical_json({"guidance": number}) == f'{{"guidance":{number!r}}}'


def test_enums_and_tuples_are_what_they_stand_for() -> None:
    assert canonical_json({"mode": Mode.TIA, "images": ("b", "a")}) == '{"images":["b","a"],"mode":"TIA"}'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [None, math.nan], {"a": {"b": math.nan}}])
def test_what_is_no_number_has_no_digest(value: Any) -> None:
    """It would be written as null otherwise, and be equal to nothing at all."""
    with pytest.raises(ValueError, match="JSON"):
        digest(value)


@pytest.mark.parametrize("value", [{"a": {3}}, b"bytes", datetime(2031, 1, 1, tzinfo=UTC), {(1, 2): 3}, object()])
def test_what_is_not_json_has_no_digest(value: Any) -> None:
    with pytest.raises(TypeError):
        digest(value)
