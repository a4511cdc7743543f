"""The whole road with HuMo itself, tiny and with random weights: sheet in, and exactly the model's frames out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="the orchestrator's environment has no torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import torch
from PIL import Image

from media.encode import ClipEncoder
from media.probe import probe_video
from model_runtime.engine import Frame, LocalInputs, RenderTask
from model_runtime.humo import audio, pipeline, vae
from model_runtime.humo.conditioning import channel_conditioning
from model_runtime.humo.guidance import Scales
from model_runtime.humo.loaded import Loaded, load_model
from model_runtime.humo.references import encode_references
from model_runtime.humo.renderer import Renderer
from model_runtime.humo.sampler import Sampler
from model_runtime.humo.text import prompt_field
from model_runtime.humo.weights.layout import find_model
from model_runtime.humo.weights.lockfile import read_lock
from schemas.job import RenderRequest
from schemas.mode import Mode
from schemas.model_spec import FPS, TINY_RANDOM
from schemas.settings import Settings, resolve
from schemas.status import JobStatus, WorkerStatus
from storage.ledger.protocol import Ledger
from storage.places import open_ledger_of, open_store_of
from tests.support.cli import Cli, write_sheet
from tests.support.prefect_server import PrefectServer, serve_prefect
from tests.support.terminal import PATIENCE_S, Terminal

pytestmark = pytest.mark.timeout(900)

ROWS = [
    {"row_id": "all", "prompt": "a singer bows", "image": "0.png|1.png", "audio": "a.wav"},
    {"row_id": "heard", "prompt": "somebody speaks", "audio": "a.wav"},
    {"row_id": "seen", "prompt": "somebody waits", "image": "0.png", "duration": "0.3"},
    {"row_id": "tall", "prompt": "a portrait", "image": "1.png", "audio": "a.wav", "width": "64", "height": "96"},
]
MODES = {"all": Mode.TIA, "heard": Mode.TA, "seen": Mode.TI, "tall": Mode.TIA}


def write_inputs(folder: Path) -> None:
    random = np.random.default_rng(4)
    for index, (width, height) in enumerate(((90, 70), (66, 120))):
        Image.fromarray(random.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    seconds = np.arange(int(0.4 * 16_000)) / 16_000
    soundfile.write(folder / "a.wav", 0.4 * np.sin(2 * np.pi * (200 + 900 * seconds) * seconds), 16_000)
    (folder / "campaign.toml").write_text("width = 64\nheight = 64\n", encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sheet with its files, and weights that the command made."""
    folder = tmp_path_factory.mktemp("humo road")
    write_inputs(folder)
    write_sheet(folder, ROWS)
    made = Cli(folder=folder)("model", "make-tiny", TINY_RANDOM.name, "--weights", "weights")
    assert made.returncode == 0, made.stderr
    return folder


def cli_at(folder: Path, home: str) -> Cli:
    # One thread everywhere: sums are then taken in the same order here and in the worker.
    environ = {"CALLSHEET_HOME": str(folder / home), "OMP_NUM_THREADS": "1", "CALLSHEET_LEASE_TTL_S": "2"}
    return Cli(folder=folder, environ=environ)


def settings_at(folder: Path, home: str) -> Settings:
    return resolve(environ={"CALLSHEET_HOME": str(folder / home)}).settings


def run(cli: Cli, home: str, *, sheet: str = "sheet.csv") -> None:
    done = cli.json("run", sheet, "--engine", "humo", "--model", TINY_RANDOM.name, "--out", f"out-{home}")
    assert done["state"] == "done"


@pytest.fixture(scope="module")
def jobs(folder: Path) -> dict[str, JobStatus]:
    """What the first run rendered, by row."""
    run(cli_at(folder, "first"), "first")
    return jobs_of(folder, "first")


def jobs_of(folder: Path, home: str) -> dict[str, JobStatus]:
    with closing(open_ledger_of(settings_at(folder, home), create=False)) as ledger:
        campaign = ledger.campaign("sheet").campaign_id
        found = {row["row_id"]: ledger.explain(campaign, row["row_id"]).jobs for row in ROWS}
    assert all(len(jobs) == 1 for jobs in found.values())
    return {row_id: jobs[0] for row_id, jobs in found.items()}


def clip_of(folder: Path, home: str, job: JobStatus) -> bytes:
    with open_store_of(settings_at(folder, home)).open(job.clip_key) as stream:
        return stream.read()


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Iterator[Loaded]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_model(folder / "weights", find_model(TINY_RANDOM.name), device=torch.device("cpu"), dtype=torch.float32)
    torch.set_num_threads(threads)


def test_requests_say_what_the_rows_said(folder: Path, jobs: dict[str, JobStatus]) -> None:
    """Modes are read off the cells, sizes and references kept, and the key holds the digest of these weights."""
    digest = read_lock(folder / "weights", TINY_RANDOM.name).digest
    for row_id, job in jobs.items():
        request = job.job.request
        assert (request.mode, request.model_digest, request.num_inference_steps) == (MODES[row_id], digest, 2)
        assert (request.num_frames, request.keep_frames) == ((9, 8) if row_id == "seen" else (13, 10))
    assert [len(jobs[row_id].job.request.images) for row_id in MODES] == [2, 0, 1, 1]
    facts = probe_video(folder / "out-first" / "videos" / "tall.mp4")
    assert (facts.frames, facts.width, facts.height, facts.has_audio) == (10, 64, 96, True)


def latents_of(loaded: Loaded, request: RenderRequest, folder: Path) -> torch.Tensor:
    """What the pipeline's own stages make, without engine, worker or ledger; inputs come from the store."""
    store, device = open_store_of(settings_at(folder, "first")), loaded.device
    latents = pipeline.latent_frames(request.num_frames)
    slots, rows, columns = max(1, len(request.images)), request.height // 8, request.width // 8
    pictures = []
    for image in request.images:
        with store.open(image.key) as stream:
            pictures.append(Image.open(stream).convert("RGB"))
    features = torch.zeros(0, 5, loaded.transformer.shape.audio_channels)
    if request.speech is not None:
        with store.open(request.speech.key) as stream:
            samples, _ = soundfile.read(stream, dtype="float32")
        heard = samples[request.start_sample : request.end_sample]
        features = audio.per_frame(loaded.speech(heard))
    conditions = pipeline.Conditions(
        text=loaded.text(prompt_field(request.prompt)),
        negative=loaded.text(request.negative_prompt),
        speech=audio.with_references(audio.windows(features, latents), slots),
        references=channel_conditioning(
            encode_references(loaded.vae, pictures, width=request.width, height=request.height) if pictures else None,
            vae.zero_latent(loaded.vae, latent_frames=latents + slots, rows=rows, columns=columns),
            slots=slots,
            latent_frames=latents,
        ),
        slots=slots,
    )
    final = pipeline.denoise(
        loaded.transformer,
        conditions,
        pipeline.draw_noise(request.seed, channels=16, slots=latents + slots, rows=rows, columns=columns).to(device),
        sampler=Sampler(steps=request.num_inference_steps, shift=request.shift),
        plan=pipeline.Plan(
            family=loaded.transformer.shape.family,
            mode=request.mode,
            scales=Scales(text=request.guidance_text, audio=request.guidance_audio),
        ),
        on_step=lambda *_: None,
    )
    assert final.shape == (16, latents, rows, columns)
    return final


class Sink:
    """A context that lets everything pass."""

    def progress(self, phase: str, done: int, total: int) -> None:
        pass

    def frame(self, frame: Frame) -> None:
        pass


@pytest.mark.parametrize("row_id", MODES)
def test_latents_are_the_pipelines(
    row_id: str,
    folder: Path,
    jobs: dict[str, JobStatus],
    loaded: Loaded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the stored request and inputs the renderer comes to the very numbers of the pipeline called directly."""
    request, store = jobs[row_id].job.request, open_store_of(settings_at(folder, "first"))
    wanted, made = latents_of(loaded, request, folder), list[torch.Tensor]()

    def local(key: str) -> Path:
        path = tmp_path / key.replace("/", "-")
        with store.open(key) as stream:
            path.write_bytes(stream.read())
        return path

    def watched(*args: Any, **kwargs: Any) -> torch.Tensor:
        made.append(denoise(*args, **kwargs))
        return made[-1]

    denoise = pipeline.denoise
    monkeypatch.setattr(pipeline, "denoise", watched)
    inputs = LocalInputs(
        images=tuple(local(image.key) for image in request.images),
        speech=local(request.speech.key) if request.speech else None,
    )
    Renderer(loaded, TINY_RANDOM).render(RenderTask(request=request, inputs=inputs), Sink())
    assert len(made) == 1
    assert torch.equal(made[0], wanted)


@pytest.mark.parametrize("row_id", MODES)
def test_clips_are_the_pipelines_frames(
    row_id: str, folder: Path, jobs: dict[str, JobStatus], loaded: Loaded, tmp_path: Path
) -> None:
    """Encoded by the same encoder, the frames of the pipeline called directly are the stored clip, byte for byte."""
    request = jobs[row_id].job.request
    frames = list(pipeline.frames(loaded.vae, latents_of(loaded, request, folder)))
    assert len(frames) == request.num_frames
    path = tmp_path / "clip.mp4"
    with ClipEncoder(path, width=request.width, height=request.height, fps=FPS, timeout_s=60) as encoder:
        for frame in frames[: request.keep_frames]:
            encoder.write(frame.tobytes())
        encoder.finish()
    assert path.read_bytes() == clip_of(folder, "first", jobs[row_id])


def test_the_same_sheet_elsewhere_gives_the_same_clips(folder: Path, jobs: dict[str, JobStatus]) -> None:
    """Another installation, another worker: same render keys, same bytes."""
    run(cli_at(folder, "second"), "second")
    for row_id, job in jobs_of(folder, "second").items():
        assert job.job.render_key == jobs[row_id].job.render_key
        assert clip_of(folder, "second", job) == clip_of(folder, "first", jobs[row_id])


STEPS = 1000


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    yield from serve_prefect(tmp_path_factory.mktemp("prefect"))


def _worker_at_denoising(ledger: Ledger) -> WorkerStatus | None:
    return next((w for w in ledger.workers() if w.phase == "denoise" and 0 < w.done < w.total), None)


def _told_to_prefect(api: str) -> str:
    """What the artifact of the workers says now; empty while there is none."""
    asked = {"artifacts": {"key": {"like_": "%-workers"}}, "limit": 1, "sort": "UPDATED_DESC"}
    answer = httpx.post(f"{api}/artifacts/filter", json=asked, timeout=20)
    answer.raise_for_status()
    return str(answer.json()[0]["data"]) if answer.json() else ""


def test_every_denoising_step_is_told(folder: Path, prefect: PrefectServer) -> None:
    """While a clip is rendered the terminal, Prefect, `workers` and `explain` say `denoise` and the step."""
    (folder / "long").mkdir()
    write_inputs(folder / "long")
    # Larger than the other clips, so that it is under way until everybody has been asked.
    (folder / "long" / "campaign.toml").write_text(
        f"width = 128\nheight = 128\nnum_inference_steps = {STEPS}\n", encoding="utf-8"
    )
    write_sheet(folder / "long", [ROWS[2]])
    cli = replace(cli_at(folder, "third"), prefect=prefect.api_url)
    argv = cli.command(
        "run", "long/sheet.csv", "--engine", "humo", "--model", TINY_RANDOM.name, "--out", "out-third", "--yes"
    )
    terminal = Terminal(argv, cwd=folder, environ=cli.full_environ)
    try:
        terminal.wait_for(rf"seen: denoise .* \d+/{STEPS}")
        seen: set[int] = set()
        told = explained = listed = ""
        deadline = time.monotonic() + PATIENCE_S
        with closing(open_ledger_of(settings_at(folder, "third"), create=False)) as ledger:
            while time.monotonic() < deadline and not (len(seen) > 2 and listed and explained and "denoise" in told):
                worker = _worker_at_denoising(ledger)
                if worker is not None:
                    assert worker.total == STEPS
                    seen.add(worker.done)
                    listed = listed or cli.json("workers")
                    explained = explained or cli.json("explain", "sheet", "seen")["jobs"]
                told = told if "denoise" in told else _told_to_prefect(prefect.api_url)
                assert terminal.process.poll() is None, terminal.shown
                time.sleep(0.1)
    finally:
        terminal.process.terminate()
        code = terminal.end()
    assert len(seen) > 2, terminal.shown
    (does,) = [row["does"] for row in json.loads(told) if row["row"] == "seen"]
    assert re.fullmatch(rf"denoise \d+/{STEPS}", does)
    for one in (listed[0], explained[0]):
        assert (one["phase"], one["total"]) == ("denoise", STEPS)
        assert 0 < one["done"] <= STEPS
    # On the terminal too it went on.
    assert len(set(re.findall(rf"seen: denoise .* (\d+)/{STEPS}", terminal.shown))) > 1, terminal.shown
    assert code == 130
