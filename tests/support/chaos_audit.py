"""The auditor: reads ledger and store after a run and says everything that is not as it was promised."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from flows.stages.phases import JoinStep
from model_runtime.phases import Step
from schemas.clip import Clip, Publication
from schemas.digest import sha256_hex
from schemas.object_ref import ObjectRef
from schemas.retry import RetryPolicy
from schemas.settings import Settings
from schemas.states import INTERRUPTIONS, VIDEO_TERMINAL, Ending, JobState, VideoState
from storage.ledger.sql.engine import make_engine, parse_url
from storage.ledger.tables import attempt, campaign, clip, job, metadata, reference, video
from storage.objects.orphans import MIN_AGE_S, find_orphans
from storage.objects.protocol import ObjectStore
from storage.places import ledger_url, open_store_of, scratch_folder
from storage.scratch import ScratchFolder
from tests.support.chaos_plan import Chronicle
from tests.support.chaos_points import NO_ATTEMPT, Moment, Victim, outcomes, point_of

Row = Mapping[str, Any]

CLOCK_S = 0.002
"""SQLite's clock counts whole milliseconds: what a signal ended may seem to have ended before it."""
DYING_S = 20.0
"""A process that was killed, and its children, may take so long to be gone."""


@dataclass(kw_only=True)
class Finding:
    """What the auditor saw. `violations` is empty when every promise was kept."""

    violations: list[str] = field(default_factory=list)
    videos: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    """Of attempts, `kind.ending`."""
    kills: Counter[str] = field(default_factory=Counter)
    """By point."""
    stops: Counter[str] = field(default_factory=Counter)
    """Of SIGSTOPs that outlasted a lease, by point."""
    refused: int = 0
    """Of those stops: sleepers whose work went on without them."""
    late: int = 0
    """Leases that a living process lost because it was too slow to renew them."""
    orphans: int = 0

    def require(self, holds: bool, said: str) -> None:
        if not holds:
            self.violations.append(said)


@dataclass(frozen=True, kw_only=True)
class Books:
    """The ledger's tables as they are now."""

    campaigns: list[Row]
    videos: list[Row]
    jobs: list[Row]
    clips: dict[str, Row]
    attempts: list[Row]
    references: set[str]

    @property
    def publications(self) -> dict[str, Publication]:
        return {
            v["video_id"]: Publication.model_validate_json(v["publication"]) for v in self.videos if v["publication"]
        }


def read_books(settings: Settings) -> Books:
    engine = make_engine(parse_url(ledger_url(settings)))
    try:
        with engine.connect() as connection:

            def rows(table: sa.Table) -> list[Row]:
                return [dict(found) for found in connection.execute(sa.select(table)).mappings()]

            assert metadata.tables
            return Books(
                campaigns=rows(campaign),
                videos=rows(video),
                jobs=rows(job),
                clips={found["render_key"]: found for found in rows(clip)},
                attempts=sorted(rows(attempt), key=lambda found: found["started_at"]),
                references={found["key"] for found in rows(reference)},
            )
    finally:
        engine.dispose()


def audit(settings: Settings, chronicle: Chronicle) -> Finding:
    """Everything; the store is left without orphans."""
    books, found = read_books(settings), Finding()
    found.require(chronicle.ended, "the campaign did not come to its end in time")
    _everything_ended(books, found)
    _once_and_only_once(books, found)
    store = open_store_of(settings)
    _objects_are_as_said(store, books, found)
    _orphans_go(store, books, found)
    _objects_are_as_said(store, books, found)
    _attempts_are_explained(books, chronicle, found)
    _kills_had_their_effect(books, chronicle, found)
    _late_ones_were_refused(books, chronicle, settings.lease_ttl_s, found)
    _scratch_is_swept(settings, found)
    return found


# -- ends ------------------------------------------------------------------------------------------------------------


def _everything_ended(books: Books, found: Finding) -> None:
    for row in books.videos:
        found.videos[row["state"]] += 1
        found.require(VideoState(row["state"]) in VIDEO_TERMINAL, f"video {row['name']} is {row['state']}")
        found.require(row["attempt_id"] is None, f"video {row['name']} is still leased")
    for row in books.jobs:
        found.require(row["state"] not in ("queued", "leased"), f"job {row['job_id']} is {row['state']}")
        found.require(row["attempt_id"] is None, f"job {row['job_id']} is still leased")
    for row in books.attempts:
        found.endings[f"{row['kind']}.{row['ending']}"] += 1
        found.require(row["ended_at"] is not None, f"attempt {row['attempt_id']} never ended")
    found.require(sum(found.endings.values()) == len(books.attempts), "the attempts do not add up")
    found.require(sum(found.videos.values()) == len(books.videos), "the videos do not add up")


def _once_and_only_once(books: Books, found: Finding) -> None:
    """One counted clip for each rendered job, one publication for each published video, by one attempt each."""
    good: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in books.attempts:
        if row["ending"] == Ending.OK:
            good[row["kind"], row["subject"]].append(row["attempt_id"])
    for row in books.jobs:
        mine = good["render", str(row["job_id"])]
        if row["state"] != JobState.RENDERED:
            found.require(not mine, f"job {row['job_id']} is {row['state']} and was rendered")
            continue
        counted = books.clips.get(row["render_key"])
        found.require(counted is not None, f"job {row['job_id']} is rendered and has no clip")
        if counted is not None and not row["reused"]:
            by = Clip.model_validate_json(counted["clip"]).attempt_id
            found.require(mine == [by], f"job {row['job_id']}: its clip is of {by}, ended well: {mine}")
    for row in books.videos:
        mine = good["join", row["video_id"]]
        is_published = row["state"] == VideoState.PUBLISHED
        found.require(
            (row["publication"] is not None) == is_published, f"video {row['name']}: pointer and state differ"
        )
        if is_published:
            by = Publication.model_validate_json(row["publication"]).attempt_id
            found.require(mine == [by], f"video {row['name']} was published by {by}, ended well: {mine}")
        else:
            found.require(not mine, f"video {row['name']} is {row['state']} and was published")


# -- objects ---------------------------------------------------------------------------------------------------------


def _wanted(books: Books) -> Iterator[ObjectRef]:
    for row in books.clips.values():
        yield Clip.model_validate_json(row["clip"]).object
    for publication in books.publications.values():
        yield from (publication.video, publication.poster, *publication.stills)


def _objects_are_as_said(store: ObjectStore, books: Books, found: Finding) -> None:
    for ref in _wanted(books):
        found.require(ref.key in books.references, f"{ref.key} counts and is not referenced")
        try:
            with store.open(ref.key) as stream:
                data = stream.read()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from being read is a finding
            found.violations.append(f"{ref.key} cannot be read: {error}")
            continue
        found.require((sha256_hex(data), len(data)) == (ref.sha256, ref.size), f"{ref.key} is not what the ledger says")


def _orphans_go(store: ObjectStore, books: Books, found: Finding) -> None:
    """Young ones are spared; a day later all go, and each was left by an attempt that did not end well."""
    keys = sorted(books.references)
    young = list(find_orphans(store, keys, older_than_s=MIN_AGE_S, now=time.time()))
    found.require(not young, f"the age guard would not have spared {[one.key for one in young]}")
    bad = {row["attempt_id"] for row in books.attempts if row["ending"] != Ending.OK}
    for orphan in find_orphans(store, keys, older_than_s=MIN_AGE_S, now=time.time() + MIN_AGE_S + 60):
        found.orphans += 1
        name = re.search(r"/\d+-([0-9a-f]+)\.", orphan.key)
        found.require(bool(name and name[1] in bad), f"{orphan.key} was left by nobody who failed")
        store.delete(orphan.key)
    stored = {one.key for prefix in ("clips/", "videos/") for one in store.list(prefix)}
    wanted = {ref.key for ref in _wanted(books)}
    found.require(stored == wanted, f"after the sweep the store differs: {sorted(stored ^ wanted)[:5]}")


def _scratch_is_swept(settings: Settings, found: Finding) -> None:
    folder, deadline = scratch_folder(settings), time.monotonic() + DYING_S
    while True:
        with ScratchFolder(folder, "audit") as mine:
            left = [path.name for path in folder.iterdir() if path != mine.folder and not path.name.startswith(".")]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    found.require(not left, f"dead processes left scratch behind: {left}")


# -- attempts and kills ----------------------------------------------------------------------------------------------


def _attempts_are_explained(books: Books, chronicle: Chronicle, found: Finding) -> None:
    policies = {row["campaign_id"]: _policy(row) for row in books.campaigns}
    for row in books.attempts:
        if row["ending"] in (None, Ending.OK):
            continue
        why = _why(row, books, chronicle) or _late_and_killed(row, books, chronicle)
        found.late += why == "late"
        if not why:
            found.violations.append(_unexplained(row, chronicle))
    for row in books.videos:
        if row["state"] == VideoState.FAILED:
            policy = policies[row["campaign_id"]]
            found.require(_was_quarantined(books, row, policy), f"video {row['name']} failed without cause")


def _policy(row: Row) -> RetryPolicy:
    from schemas.campaign import CampaignSettings

    return CampaignSettings.model_validate_json(row["settings"]).retry_policy


def _was_quarantined(books: Books, row: Row, policy: RetryPolicy) -> bool:
    tried: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for one in books.attempts:
        if one["video_id"] == row["video_id"] and one["ending"] not in (*INTERRUPTIONS, Ending.OK, None):
            tried[one["kind"], one["subject"]].append(one)
    return any(
        len({one["worker"] for one in some}) >= policy.workers or len(some) >= policy.attempts
        for some in tried.values()
    )


def _why(row: Row, books: Books, chronicle: Chronicle) -> str:
    """The cause of an attempt that did not end well, or nothing."""
    began, ended = row["started_at"], (row["ended_at"] or time.time()) + CLOCK_S
    slot = str(row["worker"])
    kills = [kill for kill in chronicle.kills if kill["worker"] == slot and float(kill["at"]) <= ended]
    mine = [kill for kill in kills if float(kill["at"]) >= began - 1.0 or _is_found_dead_by(row, kill, books)]
    victims = {point_of(str(kill["point"])).victim for kill in mine if kill["signal"] == "SIGKILL"}
    told = {kill["signal"] for kill in mine}
    ending = Ending(row["ending"])
    if any(one[0] <= ended and began <= one[1] for one in chronicle.outages):
        return "outage"
    if ending is Ending.LOST:
        if victims & {Victim.WORKER, Victim.FLOW}:
            return "killed"
        if "SIGSTOP" in told or _was_struck(chronicle, slot, began, ended, "SIGSTOP", "SIGKILL"):
            return "stopped"
        return "late" if _lost_it(row, chronicle.logs.get(slot, "")) else ""
    if ending is Ending.WORKER_FAULT:
        return "killed" if victims & {Victim.RANK, Victim.ENCODER, Victim.JOINER} else ""
    if ending is Ending.PREEMPTED:
        if row["message"].startswith("another flow coordinates"):
            return "late"
        return "told" if "SIGTERM" in told or _was_struck(chronicle, slot, began, ended, "SIGTERM") else ""
    return ""


def _unexplained(row: Row, chronicle: Chronicle) -> str:
    """With all that was noted of its worker: signals, lives, the end of the log."""
    slot = str(row["worker"])
    return (
        f"{row['kind']} attempt {row['attempt_id']} of {slot} ended as {row['ending']}, nobody knows why:"
        f" {row['message'][:200]}; it went from {row['started_at']} to {row['ended_at']}"
        f"\nsignals: {[kill for kill in chronicle.kills if kill['worker'] == slot]}"
        f"\nlives: {[life for life in chronicle.lives if life.slot == slot]}"
        f"\nlog: {chronicle.logs.get(slot, '')[-3000:]}"
    )


def _is_found_dead_by(row: Row, kill: Mapping[str, Any], books: Books) -> bool:
    """Whether a rank that died after its last frame was missed by this attempt first: the worker's next."""
    if point_of(str(kill["point"])).victim is not Victim.RANK:
        return False
    later = [one["started_at"] for one in books.attempts if one["worker"] == row["worker"]]
    return min((at for at in later if at > float(kill["at"])), default=None) == row["started_at"]


def _late_and_killed(row: Row, books: Books, chronicle: Chronicle) -> str:
    """Too slow to keep its lease, and dead before it could say so: the kill was its worker's next event."""
    if row["ending"] != Ending.LOST:
        return ""
    later = [one["started_at"] for one in books.attempts if one["worker"] == row["worker"]]
    next_at = min((at for at in later if at > row["started_at"]), default=float("inf"))
    died = any(
        kill["worker"] == row["worker"]
        and kill["signal"] == "SIGKILL"
        and point_of(str(kill["point"])).victim in (Victim.WORKER, Victim.FLOW)
        and row["ended_at"] <= float(kill["at"]) <= next_at
        for kill in chronicle.kills
    )
    return "late" if died else ""


def _was_struck(chronicle: Chronicle, slot: str, began: float, ended: float, *signals: str) -> bool:
    return any(
        strike["slot"] == slot
        and strike["signal"] in signals
        and float(strike["at"]) <= ended
        and float(strike["at"]) + float(strike["for_s"]) >= began
        for strike in chronicle.strikes
    )


def _lost_it(row: Row, log: str) -> bool:
    """Its keeper said itself that the lease was gone, or that the ledger did not hear its last word."""
    if row["kind"] == "render":
        said = ("lease_lost", "left_to_expire")
        return any(row["attempt_id"] in line and any(event in line for event in said) for line in log.splitlines())
    return any(row["video_id"] in line and "is another's now" in line for line in log.splitlines())


def _kills_had_their_effect(books: Books, chronicle: Chronicle, found: Finding) -> None:
    by_id = {row["attempt_id"]: row for row in books.attempts}
    for kill in chronicle.kills:
        point = point_of(str(kill["point"]))
        if kill["signal"] != "SIGKILL":
            continue
        found.kills[point.name] += 1
        hit = _hit(books.attempts, by_id, kill)
        ending = Ending(hit["ending"]) if hit and hit["ending"] else NO_ATTEMPT
        if ending is Ending.LOST and hit is not None and _why(hit, books, chronicle) == "late":
            continue
        if ending in outcomes(point) or _other_kill(chronicle.kills, kill, hit):
            continue
        found.violations.append(f"a kill at {point.name} ended its attempt as {ending}: {hit and hit['attempt_id']}")
    deaths = Counter(life.slot for life in chronicle.lives if life.status == -9)
    killed: Counter[str] = Counter()
    for kill in chronicle.kills:
        is_process = point_of(str(kill["point"])).victim in (Victim.WORKER, Victim.FLOW)
        if is_process and kill["signal"] == "SIGKILL":
            killed[str(kill["worker"])] += 1
    found.require(deaths == killed, f"processes died {dict(deaths)} times, were killed {dict(killed)} times")


def _late_ones_were_refused(books: Books, chronicle: Chronicle, ttl: float, found: Finding) -> None:
    """Whoever slept through its lease lost it, wrote nothing, and says so in its log."""
    by_id = {row["attempt_id"]: row for row in books.attempts}
    for kill in chronicle.kills:
        point = point_of(str(kill["point"]))
        if kill["signal"] != "SIGSTOP" or float(kill["for_s"]) < 2 * ttl:
            continue
        found.stops[point.name] += 1
        hit = _hit(books.attempts, by_id, kill)
        if hit is None or outcomes(point) != {Ending.LOST} or hit["ending"] == Ending.OK:
            continue  # nobody swept meanwhile: a late one may go on as long as its work is nobody else's
        found.refused += 1
        found.require(hit["ending"] == Ending.LOST, f"asleep at {point.name}, its attempt ended as {hit['ending']}")
        found.require(
            _lost_it(hit, chronicle.logs[hit["worker"]]), f"asleep at {point.name}, its log says nothing of it"
        )


def _hit(attempts: Sequence[Row], by_id: Mapping[str, Row], kill: Mapping[str, Any]) -> Row | None:
    """The attempt that a kill befell: as the worker noted it, or the victim's last one."""
    if kill.get("attempt"):
        return by_id.get(str(kill["attempt"]))
    point, at = point_of(str(kill["point"])), float(kill["at"])
    if point.step not in (Step.LEASE, JoinStep.CLAIM):
        mine = [row for row in attempts if row["worker"] == kill["worker"] and row["started_at"] <= at]
        return mine[-1] if mine else None
    # The claim may have been answered by nobody, yet have happened.
    mine = [
        row
        for row in attempts
        if row["worker"] == kill["worker"] and row["started_at"] <= at + 0.5 and row["ended_at"] >= at
    ]
    return None if point.moment is Moment.BEFORE or not mine else mine[-1]


def _other_kill(kills: Sequence[Mapping[str, Any]], kill: Mapping[str, Any], hit: Row | None) -> bool:
    """The same attempt was struck again, by a kill whose effect this is."""
    if hit is None:
        return False
    ending = Ending(hit["ending"])
    return any(
        other is not kill
        and other["worker"] == kill["worker"]
        and hit["started_at"] <= float(other["at"]) <= (hit["ended_at"] or float(other["at"]))
        and ending in outcomes(point_of(str(other["point"])))
        for other in kills
    )
