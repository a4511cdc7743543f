"""What the pages promise exists: verbs, options, targets, links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app

ROOT = Path(__file__).parents[2]
GROUPS = frozenset({"dataset"})
"""Verbs with verbs of their own."""
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture of a page is a file of the repository."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert missing == []


def help_of(*verb: str) -> str:
    if "worker" in verb:
        # It becomes another program, which this process must not.
        command = [sys.executable, "-m", "flows.cli", *verb, "--help"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    answer = CliRunner().invoke(app, [*verb, "--help"])
    assert answer.exit_code == 0, answer.output
    return answer.output


def documented_commands() -> list[str]:
    found: set[str] = set()
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            match = re.search(r"(?:^ {4,}(?:\.venv/bin/)?|`(?:\.venv/bin/)?)callsheet ([a-z]+)((?: [^`#]*)?)", line)
            if match:
                found.add(f"{match[1]}{match[2]}".strip())
    return sorted(found)


def test_documented_verbs_and_options_exist() -> None:
    """Every `callsheet VERB --option` that a page shows is one that the command line has."""
    verbs = set(re.findall(r"^\s{2,}([a-z]+)\s{2,}", help_of(), flags=re.M))
    commands = documented_commands()
    assert commands
    helps: dict[str, str] = {}
    for command in commands:
        verb, *words = command.split()
        assert verb in verbs, command
        if verb == "model":
            continue  # commands of its own, each with its options: tests of the runtime hold them
        named = " ".join([verb, *words[:1]] if verb in GROUPS else [verb])
        helps.setdefault(named, help_of(*named.split()))
        for option in (word.split("=")[0] for word in words if word.startswith("--")):
            assert option in helps[named], command


def test_documented_targets_exist() -> None:
    """Every `make TARGET` of a page is a target, and bare `make` lists it."""
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    targets = set(re.findall(r"^  ([a-z-]+) ", listed, flags=re.M))
    wanted = {
        target
        for page in PAGES
        for target in re.findall(r"(?:`|^ {4})make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), flags=re.M)
    }
    assert wanted
    assert wanted <= targets


def test_the_project_speaks_of_itself_alone() -> None:
    """No path of a developer's machine and no package index host stands in a tracked file."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split("\0")
    banned = re.compile(
        "|".join(["/wo" + "rk/", "files\\.python" + "hosted", "pypi\\." + "org", "regis" + "try\\.npmjs"])
    )
    found = []
    for name in filter(None, tracked):
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".j2", "", ".cfg"}:
            text = path.read_text(encoding="utf-8", errors="replace")
            if banned.search(text):
                found.append(name)
    assert found == []
