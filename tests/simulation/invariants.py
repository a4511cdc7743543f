"""What must hold after every event, whatever went wrong: the guarantee of the ledger, stated once.

Each invariant is a function of the ledger's rows before and after, and of what the store holds. The rows are read
without any of the ledger's own code. What only the doors to the ledger, a process or the end of a schedule can see is
in `WATCHED`, and blamed from there.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from schemas.clip import Clip, Publication
from schemas.lease import Lease
from schemas.object_ref import ObjectRef
from schemas.retry import RetryPolicy
from schemas.states import CAMPAIGN_CLAIMABLE, INTERRUPTIONS, VIDEO_TERMINAL, CampaignState, VideoState
from tests.simulation.bank import Bank
from tests.simulation.film import clips_of
from tests.simulation.warehouse import Warehouse
from tests.simulation.world import EPOCH, Call, World

Row = Mapping[str, Any]
Table = dict[Any, Row]

STOPPING = (CampaignState.CANCELLING, CampaignState.CANCELLED)
FINISHED = (CampaignState.DONE, CampaignState.DONE_WITH_ERRORS)
TERMINAL = frozenset(state.value for state in VIDEO_TERMINAL)
POLICY = RetryPolicy()
SLACK_S = 1e-6


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The ledger at one moment, each table by its key."""

    campaigns: Table
    videos: Table
    sheet: Table
    jobs: Table
    clips: Table
    attempts: Table

    def jobs_of(self, video_id: str) -> list[Row]:
        mine = [job for job in self.jobs.values() if job["video_id"] == video_id and not job["retired"]]
        place = {row["row_id"]: (row["place"], row["position"]) for row in self.sheet.values()}
        return sorted(mine, key=lambda job: (*place[job["row_id"]], job["clip_index"]))

    def subject(self, attempt: Row) -> Row:
        """The job or the video that an attempt is about."""
        if attempt["kind"] == "render":
            return self.jobs[int(attempt["subject"])]
        return self.videos[attempt["subject"]]


EMPTY = Rows(campaigns={}, videos={}, sheet={}, jobs={}, clips={}, attempts={})

_QUERIES = {
    "campaigns": "SELECT campaign_id AS key, state, revision, coordinator, coordinator_epoch, coordinator_expires_at"
    " FROM campaign",
    "videos": "SELECT video_id AS key, campaign_id, state, epoch, round, attempt_id, held, retired, rows, due_at,"
    " publication FROM video",
    "sheet": "SELECT row_id AS key, row_id, video_id, place, position, content, retired FROM manifest_row",
    "jobs": "SELECT job_id AS key, video_id, row_id, clip_index, state, epoch, round, attempt_id, render_key, retired,"
    " due_at FROM job",
    "clips": "SELECT render_key AS key, clip FROM clip",
    "attempts": "SELECT attempt_id AS key, kind, subject, campaign_id, video_id, worker, epoch, round, started_at,"
    " expires_at, ended_at, ended_by, ending, blame, message FROM attempt",
}


class Reader:
    """Reads the ledger's rows. What did not change since it last looked is the same object: most of it, mostly."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._texts: dict[str, list[tuple[Any, ...]]] = {}
        self._tables: dict[str, Table] = {}

    def read(self) -> Rows:
        for name, query in _QUERIES.items():
            cursor = self._connection.execute(query)
            texts = cursor.fetchall()
            if texts != self._texts.get(name):
                known = dict(zip(self._texts.get(name, ()), self._tables.get(name, {}).values(), strict=True))
                names = [column[0] for column in cursor.description]
                self._tables[name] = {text[0]: known.get(text) or dict(zip(names, text, strict=True)) for text in texts}
                self._texts[name] = texts
        return Rows(**self._tables)


@lru_cache(maxsize=4096)
def _publication(text: str) -> Publication:
    return Publication.model_validate_json(text)


@lru_cache(maxsize=4096)
def _clip(text: str) -> Clip:
    return Clip.model_validate_json(text)


@dataclass
class Auditor:
    """Looks at the ledger and the store after every event, and blames the world for what it finds."""

    world: World
    bank: Bank
    warehouse: Warehouse
    ttl: float
    excuses: dict[str, list[float]] = field(default_factory=dict)
    """By worker: when something befell it."""
    before: Rows = EMPTY
    pointers: dict[tuple[str, int], str] = field(default_factory=dict)
    """The one publication of each round of each video."""
    restored_at: float = -1.0
    _seen: tuple[int, int] = (-1, -1)

    def __post_init__(self) -> None:
        self._reader = Reader(self.bank.raw)
        self.bank.on_commit.append(self.commit)
        self.bank.on_restore.append(self.restored)
        self.world.after_event.append(self.event)

    def commit(self, call: Call) -> None:
        """One transaction was committed: compare the rows with those before it."""
        after = self._reader.read()
        step = Step(self, self.before, after, call)
        for invariant in (*STEPS, *STATES):
            for fault in invariant(step):
                self.world.blame(invariant.__name__, fault)
        self.before = after

    def event(self) -> None:
        """One event is over: the store may have changed under the ledger's pointers."""
        seen = (self.bank.raw.total_changes, self.warehouse.version)
        if seen != self._seen:
            self._seen = seen
            for fault in objects_are_as_the_ledger_says(Step(self, self.before, self.before, Call(""))):
                self.world.blame(objects_are_as_the_ledger_says.__name__, fault)

    def restored(self) -> None:
        """An older copy of the database: what is compared with what begins anew; the store is as it was."""
        self.before = self._reader.read()
        self.pointers = {
            (key, video["round"]): video["publication"]
            for key, video in self.before.videos.items()
            if video["publication"]
        }
        self.restored_at = self.world.now

    def is_excused(self, worker: str, began: float, ended: float) -> bool:
        """Whether something befell a worker in this span of the ledger's clock."""
        befell = [*self.excuses.get(worker, []), self.restored_at]
        return any(began - 1.0 <= EPOCH + at <= ended for at in befell if at >= 0)


@dataclass(frozen=True)
class Step:
    """One transaction: the rows before and after it, and the call of the ledger that it is of."""

    auditor: Auditor
    before: Rows
    after: Rows
    call: Call

    @property
    def verb(self) -> str:
        return self.call.verb

    @property
    def lease(self) -> Lease | None:
        return self.call.lease

    def pairs(self, table: str) -> Iterator[tuple[Any, Row, Row]]:
        """Rows that were there before and changed, as they were and as they are."""
        before, after = getattr(self.before, table), getattr(self.after, table)
        if before is not after:
            for key, row in after.items():
                old = before.get(key)
                if old is not None and old is not row and old != row:
                    yield key, old, row

    def begun(self) -> Iterator[Row]:
        """Attempts that this transaction began."""
        if self.before.attempts is not self.after.attempts:
            for key, attempt in self.after.attempts.items():
                if key not in self.before.attempts:
                    yield attempt

    def ended(self) -> Iterator[Row]:
        """Attempts that this transaction ended."""
        for key, attempt in self.after.attempts.items():
            old = self.before.attempts.get(key)
            if attempt["ended_at"] is not None and (old is None or old["ended_at"] is None):
                yield attempt


# -- what a transaction may not do ---------------------------------------------------------------------------------


def epochs_never_fall(step: Step) -> Iterator[str]:
    """Epochs, rounds, revisions and the coordinator's epoch only rise."""
    rising = {"campaigns": ("revision", "coordinator_epoch"), "videos": ("epoch", "round"), "jobs": ("epoch", "round")}
    for table, columns in rising.items():
        for key, old, new in step.pairs(table):
            for column in columns:
                if new[column] < old[column]:
                    yield f"{column} of {table[:-1]} {key} fell from {old[column]} to {new[column]}"


def a_new_round_has_a_new_epoch(step: Step) -> Iterator[str]:
    """What a person asks for again is out of reach of every lease given before."""
    for table in ("videos", "jobs"):
        for key, old, new in step.pairs(table):
            if new["round"] > old["round"] and new["epoch"] <= old["epoch"]:
                yield f"{table[:-1]} {key} is in round {new['round']} under epoch {new['epoch']} of the round before"


def work_taken_away_has_a_new_epoch(step: Step) -> Iterator[str]:
    """The sweep and operators raise the epoch of what they take from a worker."""
    for attempt in step.ended():
        own = step.lease is not None and step.lease.attempt_id == attempt["key"]
        # One that a signal breaks off gives back the lease that it has just made itself.
        own = own or (step.verb == "claim" and attempt["ended_by"] == "release")
        if not own and step.after.subject(attempt)["epoch"] <= attempt["epoch"]:
            yield f"{step.verb} ended attempt {attempt['key'][:8]} and left its work at epoch {attempt['epoch']}"


def every_lease_has_an_epoch_of_its_own(step: Step) -> Iterator[str]:
    """Claiming raises the epoch: no two leases of one piece of work have the same."""
    for attempt in step.begun():
        for other in step.before.attempts.values():
            if all(other[name] == attempt[name] for name in ("kind", "subject", "epoch")):
                yield f"attempts {other['key'][:8]} and {attempt['key'][:8]} share epoch {attempt['epoch']}"


def only_due_work_is_given_out(step: Step) -> Iterator[str]:
    """Nothing is leased of a campaign that does not run, nor before its pause after a failure is over."""
    now = step.auditor.world.ledger_clock()
    for attempt in step.begun():
        state = step.before.campaigns[attempt["campaign_id"]]["state"]
        if state not in CAMPAIGN_CLAIMABLE:
            yield f"{attempt['worker']} got work of a campaign that is {state}"
        due_at = step.before.subject(attempt)["due_at"]
        if due_at > now + SLACK_S:
            yield f"{attempt['worker']} got work that was to rest for {due_at - now:.1f} s more"


def pointers_stay(step: Step) -> Iterator[str]:
    """One round of one video has at most one publication, ever; only a new round takes it away."""
    for key, video in step.after.videos.items():
        pointer, round_ = video["publication"], video["round"]
        known = step.auditor.pointers.setdefault((key, round_), pointer) if pointer else None
        if pointer and known != pointer:
            yield f"video {key[:8]} points to another publication in round {round_}"
        old = step.before.videos.get(key)
        if old and old["publication"] and not pointer and old["round"] == round_:
            yield f"video {key[:8]} lost its publication in round {round_}"


def clips_stay(step: Step) -> Iterator[str]:
    """The first clip of a render key is the one; it goes only when its object is gone."""
    for key, old, new in step.pairs("clips"):
        if old["clip"] != new["clip"]:
            yield f"the clip of {key[:8]} was replaced"
    for key in step.before.clips:
        if key not in step.after.clips and step.verb != "clip_vanished":
            yield f"{step.verb} took the clip of {key[:8]} away"


def nothing_is_published_after_a_cancel(step: Step) -> Iterator[str]:
    """From the moment that `cancelling` is committed, no video of the campaign gets a publication."""
    for key, old, new in step.pairs("videos"):
        state = step.before.campaigns[new["campaign_id"]]["state"]
        if new["publication"] and not old["publication"] and state in STOPPING:
            yield f"video {key[:8]} was published while its campaign was {state}"


def a_video_is_made_of_its_own_clips(step: Step) -> Iterator[str]:
    """What is published was joined from exactly the clips that the ledger counts, in order."""
    for key, old, new in step.pairs("videos"):
        if new["publication"] and old["publication"] != new["publication"]:
            reference = _publication(new["publication"]).video
            if step.auditor.warehouse.wrong_with(reference):
                continue  # said by another invariant
            made_of = clips_of(step.auditor.warehouse.read(reference.key))
            jobs = step.after.jobs_of(key)
            missing = [job["key"] for job in jobs if job["render_key"] not in step.after.clips]
            counted = [] if missing else [_clip(step.after.clips[j["render_key"]]["clip"]).object.sha256 for j in jobs]
            if missing or counted != made_of:
                yield f"video {key[:8]} was made of other clips than the ledger counts"


def endings_are_final(step: Step) -> Iterator[str]:
    """An attempt that ended is kept as it is."""
    for key, old, _ in step.pairs("attempts"):
        if old["ended_at"] is not None:
            yield f"{step.verb} changed the ended attempt {key[:8]}"
    for key in step.before.attempts:
        if key not in step.after.attempts:
            yield f"{step.verb} forgot attempt {key[:8]}"


def endings_are_explained(step: Step) -> Iterator[str]:
    """An attempt ends with a word, and with blame and a message unless it ended well."""
    for attempt in step.ended():
        said = attempt["ending"] == "ok" or (attempt["blame"] and attempt["message"])
        if not (attempt["ending"] and attempt["ended_by"] and said):
            yield f"attempt {attempt['key'][:8]} ended unexplained: {attempt['ending']} {attempt['message']!r}"


def a_lease_is_lost_for_a_reason(step: Step) -> Iterator[str]:
    """Only an expired lease is swept up, and none expires unless something befell its worker."""
    for attempt in step.ended():
        if attempt["ending"] != "lost":
            continue
        if attempt["expires_at"] > attempt["ended_at"] + SLACK_S:
            yield f"attempt {attempt['key'][:8]} of {attempt['worker']} was swept up while its lease ran"
        if not step.auditor.is_excused(attempt["worker"], attempt["started_at"], attempt["ended_at"]):
            yield f"attempt {attempt['key'][:8]} of {attempt['worker']} was lost although nothing befell it"


def giving_up_takes_failures(step: Step) -> Iterator[str]:
    """Work is quarantined for three different workers or five failures of its round; interruptions never count."""
    for key, old, new in step.pairs("jobs"):
        if new["state"] != "quarantined" or old["state"] == "quarantined":
            continue
        failed = [
            attempt
            for attempt in step.after.attempts.values()
            if (attempt["kind"], attempt["subject"], attempt["round"]) == ("render", str(key), new["round"])
            and _is_failure(attempt)
        ]
        if not _is_enough(failed):
            yield f"job {key} was quarantined after {len(failed)} failures"


def _is_failure(attempt: Row) -> bool:
    return attempt["ending"] not in (None, "ok", *INTERRUPTIONS)


def _is_enough(failed: list[Row]) -> bool:
    return len({attempt["worker"] for attempt in failed}) >= POLICY.workers or len(failed) >= POLICY.attempts


def what_fails_is_given_up(step: Step) -> Iterator[str]:
    """After three different workers or five failures of its round, work is tried no more: a poisonous row ends."""
    for attempt in step.ended():
        work = step.after.subject(attempt)
        failed = [
            other
            for other in step.after.attempts.values()
            if (other["kind"], other["subject"], other["round"]) == (attempt["kind"], attempt["subject"], work["round"])
            and _is_failure(other)
        ]
        waits = work["state"] in ("queued", "stitching", "checking") and not work["retired"]
        if _is_failure(attempt) and waits and _is_enough(failed):
            yield f"{attempt['kind']} of {attempt['subject'][:8]} is {work['state']} after {len(failed)} failures"


def only_its_coordinator_moves_a_campaign(step: Step) -> Iterator[str]:
    """A flow moves a campaign under the epoch in force, and only while it runs; the rest is for people."""
    epoch = step.call.coordinator_epoch
    if step.verb == "set_state" and epoch is not None:
        for key, old, new in step.pairs("campaigns"):
            if old["coordinator_epoch"] != epoch:
                yield f"{key} became {new['state']} under epoch {epoch}, in force was {old['coordinator_epoch']}"
            if old["state"] not in CAMPAIGN_CLAIMABLE:
                yield f"{key} was {old['state']}, and a flow made it {new['state']}"


def what_a_sheet_leaves_alone_stays(step: Step) -> Iterator[str]:
    """Submitting again touches nothing of a video whose rows are the same: no new round, no new work."""
    if step.verb != "submit":
        return
    before, after = _asked(step.before), _asked(step.after)
    changed = {job["video_id"] for _, old, job in step.pairs("jobs") if (old["epoch"], old["retired"]) != _stand(job)}
    for key, old, new in step.pairs("videos"):
        if before.get(key) == after.get(key) and (old["epoch"], old["retired"]) != _stand(new):
            changed.add(key)
    for key in changed:
        if before.get(key) and before[key] == after.get(key) and step.before.videos[key]["state"] != "invalid":
            yield f"video {key[:8]} began again, and its rows are the same"


def _stand(row: Row) -> tuple[int, bool]:
    return row["epoch"], row["retired"]


def _asked(rows: Rows) -> dict[str, set[tuple[str, str, int]]]:
    """What the sheet asks of each video."""
    asked: dict[str, set[tuple[str, str, int]]] = defaultdict(set)
    for row in rows.sheet.values():
        if not row["retired"]:
            asked[row["video_id"]].add((row["row_id"], row["content"], row["place"]))
    return asked


def a_coordinator_is_not_pushed_out(step: Step) -> Iterator[str]:
    """The right to coordinate changes hands only when it has expired or was given back."""
    now = step.auditor.world.ledger_clock()
    for key, old, new in step.pairs("campaigns"):
        if old["coordinator"] not in ("", new["coordinator"]) and new["coordinator"]:
            if old["coordinator_expires_at"] > now:
                yield f"{new['coordinator']} took {key} from {old['coordinator']}, whose right had not expired"
            if new["coordinator_epoch"] <= old["coordinator_epoch"]:
                yield f"{new['coordinator']} took {key} over under the epoch of {old['coordinator']}"


STEPS = (
    epochs_never_fall,
    a_new_round_has_a_new_epoch,
    work_taken_away_has_a_new_epoch,
    every_lease_has_an_epoch_of_its_own,
    only_due_work_is_given_out,
    pointers_stay,
    clips_stay,
    nothing_is_published_after_a_cancel,
    a_video_is_made_of_its_own_clips,
    endings_are_final,
    endings_are_explained,
    a_lease_is_lost_for_a_reason,
    giving_up_takes_failures,
    what_fails_is_given_up,
    a_coordinator_is_not_pushed_out,
    only_its_coordinator_moves_a_campaign,
    what_a_sheet_leaves_alone_stays,
)

# -- how the ledger may never stand --------------------------------------------------------------------------------


def published_means_a_pointer(step: Step) -> Iterator[str]:
    """A video has a publication exactly while it is published."""
    for key, video in step.after.videos.items():
        if not video["retired"] and (video["state"] == VideoState.PUBLISHED) != (video["publication"] is not None):
            yield f"video {key[:8]} is {video['state']} with publication {video['publication'] is not None}"


def objects_are_as_the_ledger_says(step: Step) -> Iterator[str]:
    """Every object that a publication or a clip points to is in the store, with the ledger's size and hash."""
    for reference in _references(step.after):
        wrong = step.auditor.warehouse.wrong_with(reference)
        if wrong:
            yield wrong


def _references(rows: Rows) -> Iterator[ObjectRef]:
    """What publications and clips point to."""
    for video in rows.videos.values():
        if video["publication"]:
            publication = _publication(video["publication"])
            yield from (publication.video, publication.poster, *publication.stills)
    yield from (_clip(row["clip"]).object for row in rows.clips.values())


def a_lease_is_one_attempt(step: Step) -> Iterator[str]:
    """Work under way and attempts under way belong together, one to one, under one epoch."""
    live = {key: attempt for key, attempt in step.after.attempts.items() if attempt["ended_at"] is None}
    for key, job in step.after.jobs.items():
        if (job["state"] == "leased") != (job["attempt_id"] is not None):
            yield f"job {key} is {job['state']} with attempt {job['attempt_id']}"
    held = {("render", str(k)): row for k, row in step.after.jobs.items() if row["attempt_id"]}
    held |= {("join", k): row for k, row in step.after.videos.items() if row["attempt_id"]}
    for (kind, subject), row in held.items():
        attempt = live.get(row["attempt_id"])
        if attempt is None or (attempt["kind"], attempt["subject"], attempt["epoch"]) != (kind, subject, row["epoch"]):
            yield f"{kind} of {subject[:8]} is leased to an attempt that is not under way"
    orphans = [key for key, a in live.items() if held.get((a["kind"], a["subject"]), {}).get("attempt_id") != key]
    yield from (f"attempt {key[:8]} is under way on nothing" for key in orphans)


def twins_are_rendered_once(step: Step) -> Iterator[str]:
    """Of jobs with one render key at most one is leased."""
    keys = Counter(job["render_key"] for job in step.after.jobs.values() if job["state"] == "leased")
    yield from (f"{n} workers render {key[:8]} at once" for key, n in keys.items() if n > 1)


def a_rendered_job_has_its_clip(step: Step) -> Iterator[str]:
    """A video that has not ended counts no clip that does not exist."""
    for key, job in step.after.jobs.items():
        video = step.after.videos[job["video_id"]]
        counts = job["state"] == "rendered" and not job["retired"] and video["state"] not in TERMINAL
        if counts and job["render_key"] not in step.after.clips:
            yield f"job {key} of a video that is {video['state']} is rendered, but has no clip"


def counts_add_up(step: Step) -> Iterator[str]:
    """Rows belong to live videos, a video knows how many it has, and its state is what its jobs say."""
    rows = Counter(row["video_id"] for row in step.after.sheet.values() if not row["retired"])
    jobs: dict[str, Counter[str]] = defaultdict(Counter)
    for job in step.after.jobs.values():
        if not job["retired"]:
            jobs[job["video_id"]][job["state"]] += 1
    for key, video in step.after.videos.items():
        if video["retired"]:
            if rows[key] or jobs[key]:
                yield f"video {key[:8]} is retired and has {rows[key]} rows and {sum(jobs[key].values())} jobs"
            continue
        if video["rows"] != rows[key]:
            yield f"video {key[:8]} says {video['rows']} rows and has {rows[key]}"
        yield from (f"video {key[:8]} is {video['state']} with {dict(jobs[key])}" for _ in _odd(video, jobs[key]))


def _odd(video: Row, jobs: Counter[str]) -> Iterator[None]:
    state = VideoState(video["state"])
    rendered, total = jobs["rendered"], sum(jobs.values())
    under_way = jobs["queued"] + jobs["leased"]
    if (state in (VideoState.STITCHING, VideoState.CHECKING, VideoState.PUBLISHED) and rendered != total) or (
        state in VIDEO_TERMINAL and under_way
    ):
        yield
    if state in (VideoState.WAITING, VideoState.RENDERING) and not under_way:
        yield


def a_campaign_ends_last(step: Step) -> Iterator[str]:
    """A campaign is done when all its videos have ended, well or not, and cancelled when nobody works for it."""
    for key, campaign in step.after.campaigns.items():
        videos = [v for v in step.after.videos.values() if v["campaign_id"] == key and not v["retired"]]
        states = Counter(video["state"] for video in videos)
        open_videos = [state for state in states if state not in TERMINAL]
        if campaign["state"] in (*FINISHED, CampaignState.CANCELLED) and open_videos:
            yield f"campaign {key} is {campaign['state']} with videos {dict(states)}"
        if campaign["state"] == CampaignState.DONE and set(states) - {"published", "skipped"}:
            yield f"campaign {key} is done with videos {dict(states)}"
        if campaign["state"] == CampaignState.CANCELLED:
            live = [a for a in step.after.attempts.values() if a["campaign_id"] == key and a["ended_at"] is None]
            if live:
                yield f"campaign {key} is cancelled while {live[0]['worker']} works for it"


STATES = (
    published_means_a_pointer,
    objects_are_as_the_ledger_says,
    a_lease_is_one_attempt,
    twins_are_rendered_once,
    a_rendered_job_has_its_clip,
    counts_add_up,
    a_campaign_ends_last,
)


# -- what others watch -----------------------------------------------------------------------------------------------

WATCHED = {
    "a_late_write_changes_nothing": "A verb that is given a lease which is not in force any more changes no row.",
    "a_lease_in_force_is_honoured": "Nobody is told that a lease is lost while it holds.",
    "asked_again_it_answers_the_same": "A verb whose answer got lost may be called again: it knows what it did.",
    "a_verb_raises_what_it_says": "Only errors of the tree of `schemas.errors` leave the ledger.",
    "nobody_dies_of_a_surprise": "No process ends with an error that nobody expected, or calls a good set-up bad.",
    "everything_ends": "Once nothing goes wrong any more, every row reaches an end within an hour.",
    "a_sweep_leaves_what_counts": "A sweep of orphans, days later, leaves what the ledger points to and nothing else.",
}


def promises() -> dict[str, str]:
    """Every invariant by name, in one sentence."""
    return {each.__name__: " ".join((each.__doc__ or "").split()) for each in (*STEPS, *STATES)} | WATCHED


def what_is_left_over(rows: Rows, warehouse: Warehouse) -> Iterable[str]:
    """After a sweep of orphans: clips and videos that nobody points to, and objects that are missed."""
    wanted = list(_references(rows))
    keys = {reference.key for reference in wanted}
    found = [stored.key for prefix in ("clips/", "videos/") for stored in warehouse.truth.list(prefix)]
    yield from (f"{key} is still there, and nobody points to it" for key in found if key not in keys)
    yield from filter(None, map(warehouse.wrong_with, wanted))


def what_is_unfinished(rows: Rows) -> str:
    """Liveness: once nothing goes wrong any more, every row reaches an end. Empty when all have."""
    campaigns = [c["state"] for c in rows.campaigns.values() if c["state"] not in (*FINISHED, CampaignState.CANCELLED)]
    videos = [
        f"{k[:8]} {v['state']}" for k, v in rows.videos.items() if not v["retired"] and v["state"] not in TERMINAL
    ]
    attempts = [f"{k[:8]} of {a['worker']}" for k, a in rows.attempts.items() if a["ended_at"] is None]
    said = {"campaign": campaigns, "videos": videos, "attempts": attempts}
    return "; ".join(f"{name} {', '.join(what)}" for name, what in said.items() if what)
