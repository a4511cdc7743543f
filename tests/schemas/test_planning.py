"""From checked rows to shots and jobs: what is planned is what runs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.campaign import CampaignSettings
from schemas.job import RenderJob
from schemas.manifest.row import ManifestRow
from schemas.mode import Mode
from schemas.model_spec import ANIMATIC, HUMO_17B, SAMPLES_PER_FRAME
from schemas.object_ref import ObjectRef, Value, unchecked
from schemas.planning import RenderSetup, RowMedia, plan_rows, shot_positions, silent_frames, summarise
from schemas.problem import Code, RowProblem
from schemas.shot import Picture, Speech

ZONES = st.integers(min_value=-86_399, max_value=86_399).map(lambda off: timezone(timedelta(seconds=off)))
REF = ObjectRef(key="inputs/aa", sha256="a" * 64, size=1)


def setup(**settings: Any) -> RenderSetup:
    return RenderSetup(settings=CampaignSettings(**settings), model=HUMO_17B, engine=ANIMATIC, model_digest="weights")


def row(row_id: str = "r1", position: int = 0, **changes: Any) -> ManifestRow:
    values: dict[str, Any] = {
        "row_id": row_id,
        "line": position + 2,
        "position": position,
        "byte_start": 0,
        "byte_end": 1,
        "video": row_id,
        "shot_order": None,
        "prompt": "a person talks",
        "images": ("a.png",),
        "audio": "",
        "mode": Mode.TI,
        "seed": None,
        "negative_prompt": "",
        "width": None,
        "height": None,
        "duration": None,
        "priority": None,
        "not_before": None,
        "consent_ref": "",
        "base": "",
    }
    return ManifestRow(**{**values, **changes})


def speech(samples: int, rate: int = 44_100) -> RowMedia:
    levels = tuple(float((n * 37) % 50) - 60 for n in range(-(-samples * 25 // rate)))
    spoken = Speech(original=REF, normalised=REF, samples=samples, sample_rate=rate)
    return RowMedia(images=(Picture(object=REF, width=64, height=64),), speech=spoken, envelope=levels)


@given(samples=st.integers(min_value=8_820, max_value=44_100 * 90), crossfade=st.integers(min_value=0, max_value=12))
def test_kept_frames_of_a_shot_add_up(samples: int, crossfade: int) -> None:
    """Whatever the length and the crossfade, the clips' own frames sum to ceil(seconds x 25)."""
    media = {0: speech(samples)}
    [planned] = plan_rows([row(audio="a.wav", mode=Mode.TIA)], media, setup(crossfade_frames=crossfade))
    assert planned.shot is not None
    assert planned.shot.frames == -(-samples * 25 // 44_100)
    assert sum(job.request.keep_frames - job.lead_frames for job in planned.jobs) == planned.shot.frames
    assert [job.index for job in planned.jobs] == list(range(len(planned.jobs)))
    at = 0
    for job in planned.jobs:
        request = job.request
        assert request.start_frame + job.lead_frames == at
        assert request.start_sample == request.start_frame * SAMPLES_PER_FRAME
        assert request.end_sample - request.start_sample == request.num_frames * SAMPLES_PER_FRAME
        assert (request.num_frames - 1) % 4 == 0
        assert request.keep_frames <= request.num_frames <= HUMO_17B.max_frames
        at += request.keep_frames - job.lead_frames


@given(
    samples=st.integers(min_value=8_820, max_value=44_100 * 9),
    prompt=st.text(st.characters(exclude_categories=["Cs"])),
    priority=st.integers(min_value=-9, max_value=9),
    not_before=st.none() | st.datetimes(datetime(2000, 1, 2), datetime(2199, 12, 30), timezones=ZONES),  # noqa: DTZ001
)
def test_shots_and_jobs_come_back_from_their_text(
    samples: int, prompt: str, priority: int, not_before: datetime | None
) -> None:
    """What the ledger keeps is what pydantic would have written, and reads as the value that it was."""
    given_row = row(audio="a.wav", mode=Mode.TIA, prompt=prompt, priority=priority, not_before=not_before)
    [planned] = plan_rows([given_row], {0: speech(samples)}, setup())
    for value in (planned.shot, *planned.jobs):
        assert value is not None
        assert json.loads(value.json_bytes()).keys() == value.as_json().keys()
        assert type(value).model_validate_json(value.json_bytes()) == value


def test_planned_values_are_what_pydantic_would_have_made() -> None:
    """Planning does not validate what it made itself; a plug-in's spec may say 5 where a float is meant."""
    guidance: dict[str, Any] = {"shift": 5, "guidance_text": 7, "guidance_audio": 5, "guidance_image": 4}
    whole = replace(setup(guidance_text=3), model=replace(HUMO_17B, **guidance))
    [planned] = plan_rows([row(audio="a.wav", mode=Mode.TIA)], {0: speech(400_000)}, whole)
    assert len(planned.jobs) > 1
    for value in (planned.shot, *planned.jobs, *(job.request for job in planned.jobs)):
        assert value is not None
        validated = type(value)(**dict(value))
        assert (repr(validated), validated) == (repr(value), value)
        assert validated.json_bytes() == value.json_bytes()
        assert value.model_fields_set == type(value).model_fields.keys()
    assert [job.render_key for job in planned.jobs] == [
        RenderJob.model_validate_json(job.json_bytes()).render_key for job in planned.jobs
    ]


def test_a_value_of_our_own_has_every_field() -> None:
    with pytest.raises(AssertionError, match="size"):
        unchecked(ObjectRef, key="k", sha256="a" * 64, size=1)


def test_a_changed_copy_leaves_other_values_alone() -> None:
    """Values of a kind share the set of their fields' names."""
    one = unchecked(ObjectRef, key="k", sha256="a" * 64, size=1, media_type="image/png")
    copied = one.model_copy(update={"size": 2, "odd": 3})
    assert (copied.size, one.size) == (2, 1)
    assert one.model_fields_set == ObjectRef.model_fields.keys()
    with pytest.raises(ValidationError, match="frozen"):
        one.size = 3  # type: ignore[misc]


def test_a_field_that_json_does_not_have_is_an_error() -> None:
    class Odd(Value):
        data: bytes

    with pytest.raises(TypeError, match="bytes"):
        Odd(data=b"x").json_bytes()


def test_a_clock_of_another_class_is_still_a_date() -> None:
    class Moment(datetime):
        pass

    [planned] = plan_rows([row(not_before=Moment(2031, 5, 17, tzinfo=UTC))], {}, setup())
    assert planned.shot is not None
    assert b'"not_before":"2031-05-17T00:00:00+00:00"' in planned.shot.json_bytes()


def test_a_row_inherits_campaign_then_model() -> None:
    """An empty cell means the campaign's default, and without one the model's."""
    [plain] = plan_rows([row()], {}, setup())
    assert plain.shot is not None
    assert (plain.shot.width, plain.shot.height, plain.shot.frames) == (832, 480, 97)
    assert plain.shot.negative_prompt == HUMO_17B.negative_prompt
    [campaign] = plan_rows([row()], {}, setup(width=480, height=272, duration=2, seed=7, negative_prompt="grey"))
    assert campaign.shot is not None
    assert (campaign.shot.width, campaign.shot.height, campaign.shot.frames) == (480, 272, 50)
    assert (campaign.shot.seed, campaign.shot.negative_prompt) == (7, "grey")
    [own] = plan_rows([row(width=512, height=512, duration=1.0, seed=0)], {}, setup(width=480, height=272, seed=7))
    assert own.shot is not None
    assert (own.shot.width, own.shot.frames, own.shot.seed) == (512, 25, 0)


@pytest.mark.parametrize(("seconds", "frames"), [(3.88, 97), (0.04, 1), (1.0, 25), (1.001, 26), (None, 97)])
def test_a_typed_duration_is_the_frames_one_expects(seconds: float | None, frames: int) -> None:
    """3.88 s are 97 frames although 3.88 x 25 is a hair more in floating point."""
    assert silent_frames(seconds, HUMO_17B) == frames


def test_shots_stand_in_the_order_of_their_cells() -> None:
    """The `shot` cell orders; rows without one follow in file order."""
    rows = [
        row("a", 0, video="v"),
        row("b", 1, video="v", shot_order=2),
        row("c", 2, video="v", shot_order=1),
        row("d", 3),
    ]
    assert shot_positions(rows) == {2: 0, 1: 1, 0: 2, 3: 0}


def test_one_bad_row_keeps_its_video_out_of_the_sum() -> None:
    """A plan counts what can be rendered: good rows of a video with a bad one are not among it."""
    problem = RowProblem(row_id="b", line=3, column="image", code=Code.IMAGE_CORRUPT, message="m", fix="f")
    rows = [row("a", 0, video="v"), row("b", 1, video="v", problems=(problem,)), row("c", 2)]
    planned = plan_rows(rows, {}, setup())
    assert [p.is_valid for p in planned] == [True, False, True]
    summary = summarise(planned)
    assert (summary.rows, summary.valid_rows, summary.videos, summary.valid_videos) == (3, 1, 2, 1)
    assert summary.clips == 1
    assert summary.device_s > 0
