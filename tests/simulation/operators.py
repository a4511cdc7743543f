"""People: they submit, cancel, pause, retry and submit again, at any moment, twice, and in any order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from schemas.campaign import CampaignSettings
from schemas.errors import CallsheetError, Retryable
from schemas.job import RenderJob
from schemas.model_spec import HUMO_1_7B, PATTERN
from schemas.object_ref import ObjectRef
from schemas.shot import Picture, Shot
from schemas.states import CampaignState, VideoState
from schemas.submission import PlannedRow, Submission
from tests.simulation.bank import Teller
from tests.simulation.workers import POISON
from tests.simulation.world import Process
from tests.support.requests import make_request

KEPT_FRAMES = 4
NAME = "spring"


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """What the author wrote, as far as it matters here."""

    row_id: str
    prompt: str
    video: str
    clips: int = 1


@dataclass(frozen=True)
class Sheet:
    """A manifest as its author keeps it: rows in order; each edit gives another sheet."""

    rows: tuple[SheetRow, ...]

    def submission(self, picture: ObjectRef) -> Submission:
        planned = []
        for position, row in enumerate(self.rows):
            place = sum(1 for earlier in self.rows[:position] if earlier.video == row.video)
            planned.append(_planned(row, position, place, picture))
        settings = CampaignSettings(model=HUMO_1_7B.name, engine=PATTERN.name)
        return Submission(name=NAME, settings=settings, manifest=None, rows=planned)


def _planned(row: SheetRow, position: int, place: int, picture: ObjectRef) -> PlannedRow:
    # The seed is said by the prompt, so that two rows of one prompt are twins.
    seed = sum(row.prompt.encode())
    jobs = tuple(
        RenderJob(
            row_id=row.row_id,
            index=index,
            clips=row.clips,
            request=make_request(
                row.prompt,
                images=(picture,),
                seed=seed,
                start_frame=KEPT_FRAMES * index,
                keep_frames=KEPT_FRAMES,
                num_frames=KEPT_FRAMES + 1,
            ),
            estimated_s=8.0,
        )
        for index in range(row.clips)
    )
    request = jobs[0].request
    shot = Shot(
        row_id=row.row_id,
        video=row.video,
        position=place,
        mode=request.mode,
        prompt=row.prompt,
        negative_prompt="",
        seed=seed,
        width=request.width,
        height=request.height,
        frames=KEPT_FRAMES * row.clips,
        images=(Picture(object=picture, width=64, height=64),),
    )
    return PlannedRow(
        row_id=row.row_id,
        line=position + 2,
        position=position,
        byte_start=10 * position,
        byte_end=10 * position + 9,
        video=row.video,
        shot=shot,
        jobs=jobs,
    )


def draw_sheet(chance: random.Random, *, poison: bool) -> Sheet:
    """Two or three rows: some of two clips, some joined into one video, some twins, at most one poisonous."""
    rows: list[SheetRow] = []
    for number in range(chance.randint(2, 3)):
        row = SheetRow(row_id=f"r{number}", prompt=f"speech {number}", video=f"v{number}")
        if number and chance.random() < 0.4:
            row = replace(row, prompt=rows[0].prompt)
        if number and chance.random() < 0.3:
            row = replace(row, video=rows[-1].video)
        rows.append(replace(row, clips=chance.choice((1, 1, 2))))
    if poison:
        rows[-1] = replace(rows[-1], prompt=f"{POISON} in the last row", clips=1)
    return Sheet(tuple(rows))


def edited(sheet: Sheet, chance: random.Random) -> Sheet:
    """The same sheet with one edit: a changed prompt, a row less, a row more, another order, or none at all."""
    rows = list(sheet.rows)
    number = chance.randrange(len(rows))
    kind = chance.choice(("prompt", "prompt", "remove", "add", "order", "video", "nothing"))
    if kind == "prompt":
        rows[number] = replace(rows[number], prompt=f"edited {chance.randrange(1000)}")
    elif kind == "remove" and len(rows) > 1:
        del rows[number]
    elif kind == "add":
        added = f"a{chance.randrange(1000)}"
        rows.append(SheetRow(row_id=added, prompt=f"added {added}", video=chance.choice((added, rows[number].video))))
    elif kind == "order":
        chance.shuffle(rows)
    elif kind == "video":
        rows[number] = replace(rows[number], video=f"moved-{rows[number].row_id}")
    return Sheet(tuple(rows))


class Operator:
    """One person at a terminal: does what it set out to do, and does it again when it got no answer."""

    def __init__(self, process: Process, ledger: Teller, campaign_id: str, picture: ObjectRef | None) -> None:
        self._process = process
        self._ledger = ledger
        self._campaign_id = campaign_id
        self._picture = picture
        self._world = process.world

    def cancel(self) -> None:
        self._do(lambda: self._ledger.cancel(self._campaign_id))

    def pause(self) -> None:
        self._do(lambda: self._ledger.set_state(self._campaign_id, CampaignState.PAUSED))

    def run(self) -> None:
        """Approve or resume; without effect where there is nothing to approve."""
        self._do(lambda: self._ledger.set_state(self._campaign_id, CampaignState.RUNNING))

    def retry(self, states: Sequence[VideoState]) -> None:
        self._do(lambda: self._ledger.retry(self._campaign_id, states=states))

    def submit(self, sheet: Sheet) -> None:
        assert self._picture is not None
        picture = self._picture
        self._do(lambda: self._ledger.submit(sheet.submission(picture)))

    def _do(self, act: Callable[[], object]) -> None:
        for _ in range(5):
            try:
                act()
            except Retryable:
                self._process.sleep(self._world.random.uniform(1.0, 10.0))
            except CallsheetError:
                return  # refused, and the ledger said why
            else:
                return
