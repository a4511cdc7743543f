"""What decides a clip decides its key, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.job import RenderRequest
from schemas.mode import Mode
from schemas.object_ref import ObjectRef
from schemas.shot import default_seed


def ref(letter: str, key: str = "") -> ObjectRef:
    return ObjectRef(key=key or f"inputs/{letter}", sha256=letter * 64, size=1)


def request(**changes: Any) -> RenderRequest:
    values: dict[str, Any] = {
        "engine": "animatic",
        "engine_version": "1",
        "model": "humo-17B",
        "model_digest": "d",
        "mode": Mode.TIA,
        "prompt": "a person talks",
        "negative_prompt": "",
        "images": (ref("a"), ref("b")),
        "speech": ref("c"),
        "start_sample": 0,
        "end_sample": 640 * 97,
        "start_frame": 0,
        "keep_frames": 97,
        "num_frames": 97,
        "seed": 1,
        "width": 832,
        "height": 480,
        "num_inference_steps": 50,
        "shift": 5.0,
        "guidance_text": 5.0,
        "guidance_audio": 5.5,
        "guidance_image": 4.0,
    }
    return RenderRequest(**{**values, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": "e"},
        {"engine_version": "2"},
        {"mode": Mode.TI},
        {"prompt": "another"},
        {"negative_prompt": "blurry"},
        {"images": (ref("b"), ref("a"))},
        {"images": (ref("a"),)},
        {"speech": ref("d")},
        {"start_sample": 640},
        {"end_sample": 640},
        {"start_frame": 1},
        {"keep_frames": 96},
        {"num_frames": 93},
        {"seed": 2},
        {"width": 480},
        {"num_inference_steps": 30},
        {"shift": 3.0},
        {"guidance_text": 4.0},
        {"guidance_audio": 4.0},
        {"guidance_image": 3.0},
    ],
)
def test_content_decides_the_key(change: dict[str, Any]) -> None:
    """Every part of the content gives another key."""
    assert request(**change).render_key != request().render_key


def test_where_the_inputs_lie_does_not() -> None:
    """A moved bucket renders nothing again."""
    moved = request(images=(ref("a", "elsewhere/a"), ref("b", "elsewhere/b")), speech=ref("c", "elsewhere/c"))
    assert moved.render_key == request().render_key


def test_every_field_is_part_of_the_key() -> None:
    """A field added to the request without a thought for its identity fails here."""
    assert set(RenderRequest.model_fields) == {*request()._content()}


def test_the_default_seed_is_the_rows_own() -> None:
    """It depends on the id alone and fits the column's range."""
    seeds = {default_seed(f"row-{n}") for n in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert default_seed("row-1") == default_seed("row-1")
