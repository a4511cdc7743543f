"""`python -m model_runtime model ...`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_runtime.humo.cli import main
from model_runtime.humo.weights.layout import MODELS
from schemas.model_spec import HUMO

NAME = "tiny-random"


def test_a_tiny_model_is_made_listed_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three commands in a row agree on its digest."""
    where = ["--weights", str(tmp_path / "weights")]
    assert main(["make-tiny", NAME, "--seed", "4", *where]) == 0
    assert main(["list", "--json", *where]) == 0
    listed = {row["model"]: row for row in json.loads(capsys.readouterr().out.partition("\n")[2])}
    assert listed[NAME]["state"] == "ready"
    assert listed["humo-17B"]["state"] == "absent"
    assert main(["verify", NAME, "--json", *where]) == 0
    verified = json.loads(capsys.readouterr().out)
    assert verified["digest"] == listed[NAME]["digest"]
    assert [part["part"] for part in verified["parts"]] == ["transformer", "vae", "text encoder", "speech encoder"]
    assert main(["list", *where]) == 0
    assert f"{NAME:18} ready" in capsys.readouterr().out


def test_verifying_names_what_is_wrong(own_weights: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A flipped bit passes the quick check and fails the full one; the error ends with what to do."""
    root = own_weights[NAME]
    victim = next(iter(sorted(root.rglob("humo-*.safetensors"))))
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    assert main(["verify", NAME, "--quick", "--weights", str(root)]) == 0
    assert main(["verify", NAME, "--weights", str(root)]) == 2
    error = capsys.readouterr().err
    assert f"{victim.name} has SHA-256" in error
    assert error.rstrip().splitlines()[-1].strip().endswith(f"model make-tiny {NAME} --weights DIR")


def test_states_of_a_folder(own_weights: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A model whose pickles wait, or whose files are missing, is told apart from one that is ready."""
    root, name = own_weights["tiny-random-1.7B"], "tiny-random-1.7B"

    def state() -> str:
        assert main(["list", "--json", "--weights", str(root)]) == 0
        return str({row["model"]: row["state"] for row in json.loads(capsys.readouterr().out)}[name])

    assert state() == "ready"
    converted = root / "HuMo" / "HuMo-1.7B" / "ema.safetensors"
    converted.unlink()
    assert state() == "incomplete"
    assert main(["convert", name, "--weights", str(root)]) == 0
    assert converted.is_file()
    assert "ema.safetensors" in capsys.readouterr().out
    assert state() == "ready"
    (root / "whisper-large-v3" / "model.safetensors").unlink()
    assert state() == "incomplete"


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["fetch", "humo-9B"], 2, "known: humo-1.7B, humo-17B, humo-small, tiny-random"),
        (["fetch", NAME], 2, "make-tiny"),
        (["convert", NAME], 2, "no weights of tiny-random"),
        (["verify", NAME], 2, "no weights of tiny-random"),
    ],
)
def test_errors_end_with_what_to_do(
    argv: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is one message on standard error and the exit code of its kind."""
    assert main([*argv, "--weights", str(tmp_path)]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "fix: " in error


def test_the_weights_folder_is_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --weights the installation's own folder is meant."""
    monkeypatch.setenv("CALLSHEET_WEIGHTS", str(tmp_path / "from settings"))
    assert main(["verify", NAME]) == 2
    assert "from settings" in capsys.readouterr().err


def test_every_model_of_the_engine_has_its_files_named() -> None:
    """What plans may choose is what can be fetched or made."""
    assert HUMO.models is not None
    assert set(MODELS) >= HUMO.models
