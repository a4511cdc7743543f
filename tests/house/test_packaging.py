"""Neither image drags in the other's libraries, and the foundations drag in neither's."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

ORCHESTRATOR_ONLY = {"prefect", "fastapi", "distributed", "kubernetes", "typer", "rich", "jinja2"}
WORKER_ONLY = {"torch", "diffusers", "transformers", "xfuser", "safetensors", "accelerate"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in requirements}


def test_extras_keep_apart() -> None:
    """Prefect and Kubernetes come with the orchestrator alone, torch and its family with the worker alone."""
    extras = PROJECT["optional-dependencies"]
    assert names(extras["orchestrator"]).isdisjoint(WORKER_ONLY)
    assert names(extras["worker"]).isdisjoint(ORCHESTRATOR_ONLY)
    assert names(PROJECT["dependencies"]).isdisjoint(WORKER_ONLY | ORCHESTRATOR_ONLY)


def imported_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["model_runtime.__main__", "model_runtime.supervisor"])
def test_the_workers_own_process_imports_no_torch_and_no_prefect(module: str) -> None:
    """The supervisor holds the lease: no native library of the model can take it down."""
    assert imported_by(module).isdisjoint({"torch", "prefect", "kubernetes", "distributed", "typer", "diffusers"})


@pytest.mark.parametrize("module", ["flows.cli.app", "flows.campaign.coordinator"])
def test_the_command_line_starts_without_prefect_and_torch(module: str) -> None:
    """Verbs that look need no Prefect: a start stays quick."""
    assert imported_by(module).isdisjoint({"torch", "prefect", "distributed", "kubernetes"})


def test_a_look_at_a_ledger_loads_what_it_looks_with() -> None:
    """Numbers, decoders and other databases' drivers are for the verbs that need them: `status` takes half as long."""
    modules = "flows.cli.app, storage.ledger.open"
    assert imported_by(modules).isdisjoint({"numpy", "av", "PIL", "soundfile", "psycopg", "alembic", "minio"})
