from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flows.delivery.names import LONGEST, file_stems


def stems(*names: str) -> list[str]:
    return list(file_stems({f"v{number}": name for number, name in enumerate(names)}).values())


def test_a_safe_name_stays_as_its_author_wrote_it() -> None:
    assert stems("SKU-1234_b.v2", "Spring sale") == ["SKU-1234_b.v2", "Spring sale"]


def test_a_changed_name_gets_a_piece_of_its_hash_and_stays_readable() -> None:
    (stem,) = stems("Été/../où?")
    assert stem.startswith("Ete-..-ou-")
    assert len(stem) == len("Ete-..-ou-") + 8


def test_names_that_differ_in_case_alone_get_different_files_on_every_file_system() -> None:
    first, second = stems("Intro", "intro")
    assert first.casefold() != second.casefold()


def test_a_name_is_the_same_whoever_else_is_in_the_campaign() -> None:
    assert stems("ünï", "a", "b")[0] == stems("ünï")[0]


def test_device_names_and_dots_make_ordinary_files() -> None:
    for stem in stems("con", "COM1.x", "..", ".hidden", "-rf"):
        assert stem.split(".")[0].casefold() not in {"con", "com1"}
        assert stem[0].isalnum()


@given(st.lists(st.text(min_size=1, max_size=100), unique=True, max_size=30))
def test_any_names_give_distinct_safe_file_names(names: list[str]) -> None:
    found = stems(*names)
    assert len({stem.casefold() for stem in found}) == len(names)
    for stem in found:
        assert stem.isascii()
        assert stem == stem.strip(" .-")
        assert not set(stem) & set('/\\:*?"<>|\0')
        assert len(stem) <= LONGEST + 70
