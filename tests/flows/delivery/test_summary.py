from __future__ import annotations

from dataclasses import replace

import pytest

from flows.delivery.collect import Collected, collect
from flows.delivery.summary import clock, final_line, percentile, size_text
from schemas.states import VideoState
from tests.support.campaigns import Stage

SHEET = "row_id,prompt,image\n" + "".join(f"r{number},A man speaks,a.png\n" for number in range(10))


def collected(stage: Stage, campaign_id: str) -> Collected:
    return collect(stage.ledger, stage.ledger.campaign(campaign_id))


def test_a_campaign_without_faults_says_only_what_there_is_to_say(stage: Stage) -> None:
    campaign = stage.submit(SHEET.encode())
    assert final_line(collected(stage, campaign)) == "10 videos: 0 published, 10 waiting"


def test_the_line_has_the_form_of_the_product_page(stage: Stage) -> None:
    """`10 videos: 9 published, 1 failed; 4 reused; 1.8 % GPU time wasted; p50 9m12s p95 14m40s; AUDIO_SILENT x6`."""
    campaign = stage.submit(SHEET.encode())
    stage.play(campaign, failing={"r3": "the picture holds no face"})
    found = collected(stage, campaign)
    videos = {
        video_id: replace(video, started_at=0.0, ended_at=552.0 if place < 8 else 880.0)
        for place, (video_id, video) in enumerate(found.videos.items())
    }
    found = replace(found, videos=videos, counts=replace(found.counts, reused=4))
    assert final_line(found) == (
        "10 videos: 9 published, 1 failed; 4 reused; 6.2 % GPU time wasted; p50 9m12s p95 14m40s; BAD_INPUT x1"
    )


def test_states_in_the_line_add_up_to_the_videos(stage: Stage) -> None:
    bad = "row_id,prompt,image,seed\na,A man speaks,a.png,\nb,A man speaks,a.png,-1\nc,A man speaks,a.png,\n"
    campaign = stage.submit(bad.encode())
    stage.play(campaign, at_most=1)
    line = final_line(collected(stage, campaign))
    assert line.startswith("3 videos: 1 published, 1 invalid, 1 waiting;")
    assert line.endswith("; SEED_INVALID x1")


def test_every_state_has_its_word() -> None:
    from flows.delivery.summary import WORDS

    assert set(WORDS) == set(VideoState)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (9.96, "10s"), (59.4, "59s"), (59.6, "1m00s"), (552, "9m12s"), (3600, "1h00m"), (97_200, "1d03h")],
)
def test_times_are_written_with_two_units_at_most(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_percentiles_are_values_that_occurred() -> None:
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.95, 1.0)] == [1.0, 2.0, 4.0, 4.0]


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (12_345_678, "12 MB")])
def test_sizes_are_written_in_powers_of_a_thousand(size: int, text: str) -> None:
    assert size_text(size) == text
