"""Where relative references start from, when the sheet says so itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import InvalidMedia
from schemas.problem import Code
from storage.fetcher import Fetcher


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A second folder that the operator allows."""
    folder = tmp_path / "library"
    (folder / "cast").mkdir(parents=True)
    (folder / "cast" / "anna.png").write_bytes(b"library")
    return folder


@pytest.fixture
def fetcher(root: Path, library: Path, scratch: Path) -> Fetcher:
    (root / "cast").mkdir()
    (root / "cast" / "anna.png").write_bytes(b"sheet")
    return Fetcher(scratch=scratch, root=root, roots=[library])


def _content(fetcher: Fetcher, base: str, reference: str) -> bytes:
    return fetcher.for_base(base).fetch(reference, kind="image", max_bytes=100).path.read_bytes()


def test_a_base_inside_an_allowed_folder_is_followed(fetcher: Fetcher, root: Path, library: Path) -> None:
    """The sheet's folder, a folder in it, another allowed folder; by absolute or relative path; or none."""
    assert _content(fetcher, "", "cast/anna.png") == b"sheet"
    assert _content(fetcher, str(root), "cast/anna.png") == b"sheet"
    assert _content(fetcher, str(root / "cast"), "anna.png") == b"sheet"
    assert _content(fetcher, "cast", "anna.png") == b"sheet"
    assert _content(fetcher, ".", "cast/anna.png") == b"sheet"
    assert _content(fetcher, f"{library}/", "cast/anna.png") == b"library"
    assert _content(fetcher, str(library / "cast"), "anna.png") == b"library"


def test_one_reference_under_two_bases_is_two_files(fetcher: Fetcher, library: Path) -> None:
    """What was fetched under one base is not handed out under another."""
    assert _content(fetcher, "", "cast/anna.png") == b"sheet"
    assert _content(fetcher, str(library), "cast/anna.png") == b"library"


def test_a_base_below_a_resolved_name_is_followed(root: Path, scratch: Path) -> None:
    """A root named through a link is the same folder as the one that its base names without."""
    (root / "anna.png").write_bytes(b"anna")
    alias = root.parent / "alias"
    alias.symlink_to(root)
    fetcher = Fetcher(scratch=scratch, root=alias)
    assert _content(fetcher, str(root.resolve()), "anna.png") == b"anna"
    assert _content(fetcher, str(alias), "anna.png") == b"anna"


@pytest.mark.parametrize(
    ("base", "code"),
    [
        ("/", Code.REFERENCE_OUTSIDE_ROOT),
        ("/etc", Code.REFERENCE_OUTSIDE_ROOT),
        ("..", Code.REFERENCE_OUTSIDE_ROOT),
        ("cast/..", Code.REFERENCE_OUTSIDE_ROOT),
        ("{root}/..", Code.REFERENCE_OUTSIDE_ROOT),
        ("{root}/../library/..", Code.REFERENCE_OUTSIDE_ROOT),
        ("{root}-evil", Code.REFERENCE_OUTSIDE_ROOT),
        ("/{root}", Code.REFERENCE_OUTSIDE_ROOT),
        ("file://{root}", Code.REFERENCE_SCHEME),
        ("https://media.example.org/", Code.REFERENCE_SCHEME),
        ("C:\\cast", Code.REFERENCE_SCHEME),
        ("cast\0", Code.REFERENCE_SCHEME),
        ("s3://bucket/../other", Code.REFERENCE_OUTSIDE_ROOT),
    ],
)
def test_any_other_base_is_refused(fetcher: Fetcher, root: Path, base: str, code: Code) -> None:
    """A hostile sheet cannot make the machine's own folders its base."""
    with pytest.raises(InvalidMedia) as caught:
        fetcher.for_base(base.format(root=root))
    assert caught.value.code is code
    assert caught.value.fix


def test_a_base_that_is_a_link_leads_nowhere(fetcher: Fetcher, root: Path) -> None:
    """A link inside the root is no more followed as a base than as a reference."""
    (root / "up").symlink_to("..")
    for base in ("up", str(root / "up")):
        with pytest.raises(InvalidMedia) as caught:
            _content(fetcher, base, "secret.png")
        assert caught.value.code is Code.REFERENCE_NOT_A_FILE


def test_a_bucket_as_base_is_bound_to_the_allow_list(root: Path, scratch: Path) -> None:
    """An `s3://` base leads to no bucket that a reference could not name."""
    fetcher = Fetcher(scratch=scratch, root=root, buckets=["allowed"])
    with pytest.raises(InvalidMedia) as caught:
        _content(fetcher, "s3://other/prefix", "anna.png")
    assert caught.value.code is Code.REFERENCE_HOST


def test_without_roots_no_folder_is_a_base(scratch: Path) -> None:
    """A sheet from a bucket has no folders on this machine."""
    for base in ("/", "cast"):
        with pytest.raises(InvalidMedia) as caught:
            Fetcher(scratch=scratch).for_base(base)
        assert caught.value.code is Code.REFERENCE_OUTSIDE_ROOT
