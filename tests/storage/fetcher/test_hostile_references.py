"""A sheet that attacks: every reference is refused with its code, and nothing inside hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from schemas.errors import InvalidMedia
from schemas.problem import Code
from storage.fetcher import Fetcher
from tests.storage.fetcher.test_addresses import NOT_PUBLIC
from tests.support.hostile_references import CASES, NUMERIC_LOOPBACK, PORT, Inside


def _never(host: str, port: int) -> Sequence[str]:
    raise AssertionError(f"{host} was looked up")


def _code(fetcher: Fetcher, reference: str) -> Code:
    with pytest.raises(InvalidMedia) as caught:
        fetcher.fetch(reference, kind="image", max_bytes=100)
    error = caught.value
    assert error.fix
    assert len(error.message) < 500
    assert error.message.isprintable()
    return error.code


@pytest.mark.parametrize(("reference", "code"), CASES, ids=[ascii(reference)[:60] for reference, _ in CASES])
def test_a_hostile_reference_is_refused(inside: Inside, root: Path, scratch: Path, reference: str, code: Code) -> None:
    """Refused with its code before any name is looked up or connection made; nothing is left behind."""
    (root / "images").mkdir()
    fetcher = Fetcher(
        scratch=scratch,
        root=root,
        hosts=["media.example.org"],
        buckets=["allowed", "limited/inbox"],
        resolver=_never,
    )
    assert _code(fetcher, reference.replace(PORT, str(inside.port))) is code
    assert inside.connections == 0
    assert not scratch.exists()


@pytest.mark.parametrize("host", NUMERIC_LOOPBACK)
def test_an_allowed_name_of_this_machine_is_refused_by_its_address(inside: Inside, scratch: Path, host: str) -> None:
    """Even an allow-list with a mistake in it opens no way inside, in whatever form the address is written."""
    fetcher = Fetcher(scratch=scratch, hosts=[f"{host}:{inside.port}"])
    assert _code(fetcher, f"https://{host}:{inside.port}/") is Code.REFERENCE_ADDRESS
    assert inside.connections == 0


@pytest.mark.parametrize("address", [*NOT_PUBLIC, "not an address", ""])
def test_an_allowed_name_with_an_inner_address_is_refused(inside: Inside, scratch: Path, address: str) -> None:
    """A name that resolves to anything but the public internet is not connected to."""
    authority = f"media.example.org:{inside.port}"
    fetcher = Fetcher(scratch=scratch, hosts=[authority], resolver=lambda host, port: [address])
    assert _code(fetcher, f"https://{authority}/a.png") is Code.REFERENCE_ADDRESS
    assert inside.connections == 0


def test_there_are_enough_of_them() -> None:
    """The corpus only ever grows."""
    assert len(CASES) + len(NUMERIC_LOOPBACK) + len(NOT_PUBLIC) >= 200
