"""What a reference says, and what none may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidMedia
from schemas.problem import Code
from storage.fetcher.reference import HttpsReference, LocalReference, Reference, S3Reference, parse_reference

LAWFUL = {
    "anna.png": LocalReference(parts=("anna.png",)),
    "./images//anna.png": LocalReference(parts=("images", "anna.png")),
    "images\\anna.png": LocalReference(parts=("images", "anna.png")),
    "  anna one.png ": LocalReference(parts=("anna one.png",)),
    "-rf": LocalReference(parts=("-rf",)),
    "./take1:final.wav": LocalReference(parts=("take1:final.wav",)),
    "scene 1: intro.png": LocalReference(parts=("scene 1: intro.png",)),
    "..hidden/...": LocalReference(parts=("..hidden", "...")),
    "größe/日本語.png": LocalReference(parts=("größe", "日本語.png")),
    "s3://bucket/a/b c.png": S3Reference(bucket="bucket", key="a/b c.png"),
    "S3://bucket/ä?x#y": S3Reference(bucket="bucket", key="ä?x#y"),
    "https://Media.Example.org": HttpsReference(host="media.example.org", port=443, target="/"),
    "HTTPS://media.example.org:443/a%20b?x=1&y=2#z": HttpsReference(
        host="media.example.org", port=443, target="/a%20b?x=1&y=2"
    ),
    "https://media.example.org:8443/ä": HttpsReference(host="media.example.org", port=8443, target="/%C3%A4"),
    "https://bücher.example/x": HttpsReference(host="xn--bcher-kva.example", port=443, target="/x"),
}


@pytest.mark.parametrize("text", LAWFUL, ids=repr)
def test_a_lawful_reference_is_read(text: str) -> None:
    """Paths, objects and addresses, as people write them."""
    assert parse_reference(text) == LAWFUL[text]


@given(text=st.text(max_size=60) | st.from_regex(r"(https|s3|file)?:?//?[a-z.@\\/%:#?\[\]0-9-]{0,40}"))
def test_any_text_is_a_reference_or_a_problem(text: str) -> None:
    """Whatever a cell holds: a reference that stays below its root or names a plain host, or a coded problem."""
    reference = _parse_or_problem(text)
    if isinstance(reference, InvalidMedia):
        assert reference.code.startswith("REFERENCE_")
        assert reference.fix
        assert reference.message.isprintable()
    elif isinstance(reference, LocalReference):
        assert reference.parts
        assert not {"", ".", ".."} & set(reference.parts)
        assert not any("/" in part or "\0" in part for part in reference.parts)
    elif isinstance(reference, HttpsReference):
        assert reference.host.isascii()
        assert not set(reference.host) & set("@:/\\?#[]% ")
        assert reference.target.startswith("/")
        assert reference.target.isascii()
        assert " " not in reference.target


def _parse_or_problem(text: str) -> Reference | InvalidMedia:
    try:
        return parse_reference(text)
    except InvalidMedia as error:
        return error


@pytest.mark.parametrize("text", ["", " ", "   "])
def test_an_empty_reference_is_missing(text: str) -> None:
    """Nothing names nothing."""
    with pytest.raises(InvalidMedia) as caught:
        parse_reference(text)
    assert caught.value.code is Code.REFERENCE_MISSING


def test_a_long_reference_is_not_repeated_in_full() -> None:
    """A message stays readable whatever the cell holds."""
    with pytest.raises(InvalidMedia) as caught:
        parse_reference("x" * 100_000)
    assert len(str(caught.value)) < 600
