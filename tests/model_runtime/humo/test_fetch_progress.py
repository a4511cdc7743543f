"""`callsheet model fetch` as a person sees it: a bar on a terminal, lines elsewhere, nothing brought twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_runtime.humo.weights.layout import HUMO, WAN, WHISPER
from tests.support.hub import Hub, running_hub
from tests.support.terminal import PATIENCE_S, Terminal

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[3]
MIB = 2**20
EMA = "HuMo-1.7B/ema.pth"
FILES = {
    HUMO: {EMA: 40 * MIB},
    WAN: {
        "Wan2.1_VAE.pth": 3 * MIB,
        "models_t5_umt5-xxl-enc-bf16.pth": 2 * MIB,
        "google/umt5-xxl/tokenizer.json": 900,
    },
    WHISPER: {"model.safetensors": MIB, "config.json": 300, "preprocessor_config.json": 200},
}
WHOLE = sum(size for files in FILES.values() for size in files.values())


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Files under the published names; what is in them does not matter to a fetch."""
    folders = {}
    for repository, files in FILES.items():
        folders[repository] = tmp_path / "hub" / repository
        for name, size in files.items():
            path = folders[repository] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(size))
    with running_hub(folders) as running:
        yield running


def command(program: str, hub: Hub, folder: Path) -> list[str]:
    where = ["--weights", str(folder), "--endpoint", hub.endpoint]
    return [sys.executable, "-m", program, "model", "fetch", "humo-1.7B", *where]


def test_a_fetch_is_seen_stopped_and_taken_up_again(hub: Hub, tmp_path: Path) -> None:
    """One bar over all files that names the one under way; Ctrl-C keeps what came; only the rest is sent again."""
    folder = tmp_path / "weights"
    hub.hold_after[EMA] = 25 * MIB
    # The client would ask again after ten seconds of silence; a busy machine may need them.
    environ = {**os.environ, "HF_HUB_DOWNLOAD_TIMEOUT": "240"}
    terminal = Terminal(command("flows.cli", hub, folder), cwd=ROOT, environ=environ)
    # The client hands on pieces of 10 MiB; two of them have come when the hub holds still.
    try:
        terminal.wait_for(rf"fetching: +\d+%.* 21\.0M/{WHOLE / 1e6:.1f}M .*HuMo/{EMA} 20\.97 MB of 41\.94 MB")
    finally:
        terminal.process.send_signal(signal.SIGINT)
        code = terminal.end()
    assert code == 130
    assert "run the same command again" in terminal.shown
    assert "Traceback" not in terminal.shown
    hub.released.set()
    part = folder / "HuMo" / f"{EMA}.part"
    kept = part.stat().st_size
    assert 10 * MIB <= kept < 40 * MIB

    hub.forget()
    done = subprocess.run(
        command("model_runtime", hub, folder),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [asked for path, asked in hub.requests if path == EMA] == [f"bytes={kept}-"]
    assert hub.sent[EMA] == 40 * MIB - kept
    # No terminal: whole lines, the last of which says that all is here.
    assert "\r" not in done.stderr
    lines = done.stderr.splitlines()
    assert any(re.match(rf"100 %  41\.94 MB of 41\.94 MB  HuMo/{EMA}  \(in all ", line) for line in lines)
    assert lines[-1].endswith(f"(in all {WHOLE / 1e6:.2f} MB of {WHOLE / 1e6:.2f} MB)")
    assert "model convert humo-1.7B" in done.stdout

    hub.forget()
    again = subprocess.run(
        [*command("model_runtime", hub, folder), "--json"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert again.stderr == ""
    said = json.loads(again.stdout)
    assert {path: file["bytes"] for path, file in said["files"].items()} == {
        f"{repository.partition('/')[2]}/{name}": size
        for repository, files in FILES.items()
        for name, size in files.items()
    }
    assert set(said["repositories"].values()) == {hub.revision}
    assert f"HuMo/{EMA}" in said["unconverted"]
    assert hub.requests == []
