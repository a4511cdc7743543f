"""The defences: for each, what is cut out of a copy of the code, and why it stands there.

A cut is a piece of source that must be found exactly once, so that a change of the code makes it fail loudly. Where
two locks hang on one door, either of which holds alone, both are cut.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One edit of one file: `there` is replaced by `instead`."""

    file: str
    there: str
    instead: str = ""


@dataclass(frozen=True, kw_only=True)
class Defence:
    """One thing that keeps a promise."""

    name: str
    what: str
    """What is cut, in the table's words."""
    why: str
    """What would happen without it."""
    cuts: tuple[Cut, ...]
    test: str = ""
    """Where the moment is too narrow for a hundred schedules: the test that makes it, and misses the defence."""


_LEDGER = "storage/ledger/sql"
_OPERATORS = "tests/storage/ledger/test_conformance_operators.py"
_ENDINGS = "tests/storage/ledger/test_conformance_endings.py"

_HOLD = Cut(
    file=f"{_LEDGER}/fences.py",
    there='subject is None or subject["epoch"] != lease.epoch or subject["attempt_id"] != lease.attempt_id',
    instead="subject is None",
)

DEFENCES = (
    Defence(
        name="fence-of-a-render",
        what="epoch and attempt in the WHERE of `complete`, `fail`, `release` for a job",
        why="a worker that slept through its lease commits over whoever has the job now",
        cuts=(
            Cut(
                file=f"{_LEDGER}/fences.py",
                there="    job.c.epoch == _EPOCH,\n    job.c.attempt_id == _ATTEMPT,\n",
            ),
            _HOLD,
        ),
    ),
    Defence(
        name="fence-of-a-join",
        what="epoch and attempt in the WHERE of `checking`, `publish`, `fail`, `release` for a video",
        why="a flow that slept through its lease publishes over another's video",
        cuts=(
            Cut(
                file=f"{_LEDGER}/fences.py",
                there="    video.c.epoch == _EPOCH,\n    video.c.attempt_id == _ATTEMPT,\n",
            ),
            _HOLD,
        ),
    ),
    Defence(
        name="fence-of-a-heartbeat",
        what="`ended_at IS NULL` and the fence in the WHERE of `heartbeat`",
        why="a late worker renews a lease that was taken from it, and renders on for nothing",
        cuts=(
            Cut(
                file=f"{_LEDGER}/claims.py",
                there="            sa.text(LIVE_ATTEMPT),\n            sa.exists().where(*fence),\n",
            ),
        ),
    ),
    Defence(
        name="epoch-at-a-claim",
        what="`epoch + 1` when a job is leased",
        why="two leases of one job could not be told apart by their number",
        cuts=(
            Cut(
                file=f"{_LEDGER}/claims.py",
                there="state=JobState.LEASED.value, epoch=job.c.epoch + 1,",
                instead="state=JobState.LEASED.value,",
            ),
        ),
    ),
    Defence(
        name="epoch-at-a-sweep",
        what="`epoch + 1` when an expired lease of a job is swept up",
        why="what was taken away stays within reach of the old lease",
        cuts=(
            Cut(
                file=f"{_LEDGER}/operators.py",
                there='    tx.run(sa.update(job).where(job.c.job_id == held.subject["job_id"])'
                ".values(epoch=job.c.epoch + 1))\n",
            ),
        ),
    ),
    Defence(
        name="epoch-at-a-change",
        what="`epoch + 1` for the jobs of a row that a new sheet changed",
        why="a worker goes on with a clip that nobody wants, and its lease says that it may",
        cuts=(
            Cut(
                file=f"{_LEDGER}/job_records.py",
                there="values(retired=True, epoch=job.c.epoch + 1)",
                instead="values(retired=True)",
            ),
        ),
    ),
    Defence(
        name="attempt-in-the-key",
        what="the attempt's id in every object key",
        why="a late upload, or one after a restored database repeats epochs, overwrites what counts",
        cuts=(
            Cut(
                file="schemas/lease.py",
                there='return f"{self.epoch:06d}-{self.attempt_id}"',
                instead='return f"{self.epoch:06d}"',
            ),
        ),
    ),
    Defence(
        name="read-back",
        what="reading back what was uploaded",
        why="a store that cuts, garbles or loses what it acknowledged has it published",
        cuts=(
            Cut(
                file="storage/objects/verified.py",
                there="            _read_back(store, wanted)\n        except Corrupted:\n            _forget",
                instead="            pass\n        except Corrupted:\n            _forget",
            ),
        ),
    ),
    Defence(
        name="hash-of-a-clip",
        what="the size and SHA-256 of clips that a join fetches",
        why="a garbled read goes into the video",
        cuts=(
            Cut(
                file="storage/objects/verified.py",
                there="            _require(ref, *_copy(source, target, most=ref.size))",
                instead="            _copy(source, target, most=ref.size)",
            ),
        ),
    ),
    Defence(
        name="heartbeat-deadline",
        what="the deadline of a step, beyond which a worker's lease is not renewed",
        why="a worker that hangs in a call keeps its lease for ever",
        cuts=(
            Cut(
                file="model_runtime/lease_keeper.py",
                there="            if self.is_overdue:\n",
                instead="            if False:\n",
            ),
        ),
    ),
    Defence(
        name="stalled-gang",
        what="killing a gang that does not move on",
        why="a hung collective holds its worker for ever",
        cuts=(
            Cut(
                file="model_runtime/attempt.py",
                there="        if self._keeper.is_overdue:\n",
                instead="        if False:\n",
            ),
        ),
    ),
    Defence(
        name="expiry-at-a-sweep",
        what="the expiry, looked at again when a lease is swept up",
        why="a lease renewed since the sweep looked is taken from a worker that is alive",
        test="tests/storage/ledger/test_late_answer.py::test_a_sweep_spares_who_renewed_since_it_looked",
        cuts=(
            Cut(
                file=f"{_LEDGER}/operators.py",
                there="    if late is None or late > tx.now:\n",
                instead="    if late is None:\n",
            ),
        ),
    ),
    Defence(
        name="sweep",
        what="the sweep of expired leases",
        why="the work of the dead waits for ever",
        cuts=(
            Cut(
                file=f"{_LEDGER}/operators.py",
                there='attempt.c.expires_at <= sa.bindparam("tx_now"))\n    .order_by',
                instead='attempt.c.expires_at < sa.bindparam("tx_now") - 1e9)\n    .order_by',
            ),
        ),
    ),
    Defence(
        name="coordinator-epoch",
        what="the coordinator's epoch, checked when a flow moves its campaign",
        why="a flow that slept through its right ends a campaign that is another's",
        cuts=(
            Cut(
                file=f"{_LEDGER}/campaigns.py",
                there='    if epoch is not None and epoch != record["coordinator_epoch"]:\n',
                instead="    if False:\n",
            ),
        ),
    ),
    Defence(
        name="coordinators-right",
        what="the expiry of the coordinator's right, looked at when another flow asks for it",
        why="two flows coordinate one campaign",
        cuts=(
            Cut(
                file=f"{_LEDGER}/campaigns.py",
                there='    campaign.c.coordinator_expires_at <= sa.bindparam("tx_now"),\n',
                instead='    sa.bindparam("tx_now") > 0,\n',
            ),
        ),
    ),
    Defence(
        name="paused-campaign",
        what="the refusal to let a flow move a campaign that a person paused",
        why="a pause is undone by a flow that counted just before it",
        test=f"{_OPERATORS}::test_a_coordinator_ends_no_pause",
        cuts=(
            Cut(
                file="storage/ledger/gate.py",
                there="    if source not in CAMPAIGN_CLAIMABLE:\n",
                instead="    if False:\n",
            ),
        ),
    ),
    Defence(
        name="held-work",
        what="`NOT held` among what may be leased",
        why="a paused campaign goes on",
        cuts=(
            Cut(
                file="storage/ledger/tables.py",
                there="CLAIMABLE_JOB = \"state = 'queued' AND NOT held\"",
                instead="CLAIMABLE_JOB = \"state = 'queued'\"",
            ),
        ),
    ),
    Defence(
        name="pause-after-a-failure",
        what="the time before which failed work is not leased again",
        why="a worker that fails fast burns through all tries of a job at once",
        cuts=(
            Cut(
                file=f"{_LEDGER}/claims.py",
                there='        job.c.due_at <= sa.bindparam("tx_now"),\n',
                instead='        sa.bindparam("tx_now") > 0,\n',
            ),
        ),
    ),
    Defence(
        name="cancel-at-publish",
        what="asking at `publish` whether the campaign is being cancelled",
        why="a video appears after its author was told that it will not",
        cuts=(
            Cut(
                file=f"{_LEDGER}/joins.py",
                there="    if held.cancelling:\n        mine = attempt.c.attempt_id",
                instead="    if False:\n        mine = attempt.c.attempt_id",
            ),
        ),
    ),
    Defence(
        name="end-of-a-cancel",
        what="waiting for leases before a campaign is cancelled",
        why="a campaign is called cancelled while devices work for it",
        cuts=(
            Cut(
                file=f"{_LEDGER}/operators.py",
                there="    if alive is None:\n        campaigns.move",
                instead="    if True:\n        campaigns.move",
            ),
        ),
    ),
    Defence(
        name="end-of-a-campaign",
        what="counting unfinished videos once more when a campaign is called done",
        why="rows that were asked for since the flow counted are never made",
        test=f"{_OPERATORS}::test_a_campaign_is_not_done_before_its_videos",
        cuts=(
            Cut(
                file="storage/ledger/gate.py",
                there="CampaignState.DONE_WITH_ERRORS) and unfinished:",
                instead="CampaignState.DONE_WITH_ERRORS) and False:",
            ),
        ),
    ),
    Defence(
        name="join-lease",
        what="`attempt_id IS NULL` among what may be joined",
        why="two flows join one video at once",
        cuts=(
            Cut(
                file="storage/ledger/tables.py",
                there="state = 'stitching' AND attempt_id IS NULL AND NOT held",
                instead="state = 'stitching' AND NOT held",
            ),
            Cut(
                file=f"{_LEDGER}/claims.py",
                there=", video.c.attempt_id.is_(None))\n        .values",
                instead=")\n        .values",
            ),
        ),
    ),
    Defence(
        name="twins",
        what="leasing no job whose twin is leased, in the query and in the unique index",
        why="one clip is rendered twice at once",
        cuts=(
            Cut(file=f"{_LEDGER}/claims.py", there="        ~TWIN_IS_LEASED,\n"),
            Cut(
                file="storage/ledger/migrations/versions/r0001_the_ledger.py",
                there='"job_leased_key",\n        "job",\n        ["render_key"],\n        unique=True,',
                instead='"job_leased_key",\n        "job",\n        ["render_key"],\n        unique=False,',
            ),
        ),
    ),
    Defence(
        name="lost-counter",
        what="counting attempts that were lost",
        why="a row that kills its worker kills them all, one after the other, for ever",
        cuts=(
            Cut(
                file="schemas/retry.py",
                there="a.ending not in INTERRUPTIONS and a.ending is not Ending.OK]",
                instead="a.ending not in INTERRUPTIONS and a.ending not in (Ending.OK, Ending.LOST)]",
            ),
        ),
    ),
    Defence(
        name="quarantine",
        what="giving up after three different workers failed",
        why="five workers are lost to one row, not three",
        cuts=(
            Cut(
                file="schemas/retry.py",
                there="    if len(workers) >= policy.workers:\n",
                instead="    if False:\n",
            ),
        ),
    ),
    Defence(
        name="retry-limit",
        what="giving up after five failures",
        why="where there are fewer than three workers, a row that cannot be made is tried for ever",
        test=f"{_ENDINGS}::test_one_workers_tries_are_bounded",
        cuts=(
            Cut(
                file="schemas/retry.py",
                there="    if len(failed) >= policy.attempts:\n",
                instead="    if False:\n",
            ),
        ),
    ),
    Defence(
        name="interruptions-are-free",
        what="not counting attempts that were interrupted",
        why="three preempted workers set a good row aside",
        test="tests/schemas/test_retry.py::test_interruptions_between_failures_do_not_count",
        cuts=(
            Cut(
                file="schemas/retry.py",
                there="[a for a in attempts if a.ending not in INTERRUPTIONS and",
                instead="[a for a in attempts if",
            ),
        ),
    ),
    Defence(
        name="answer-again",
        what="knowing a `complete` that is asked again after its answer got lost",
        why="a worker is told that its clip was refused, and it counts",
        cuts=(
            Cut(
                file=f"{_LEDGER}/endings.py",
                there='        if fences.answered(tx, lease, "complete") is None:\n',
                instead="        if True:\n",
            ),
        ),
    ),
    Defence(
        name="claim-again",
        what="one attempt id for all tries of a claim",
        why="a claim whose answer got lost leaves a lease that nobody knows of",
        cuts=(
            Cut(
                file=f"{_LEDGER}/ledger.py",
                there="ttl=ttl, attempt_id=attempt_id, again=next(tries) > 0)",
                instead="ttl=ttl, attempt_id=self._new_id())",
            ),
        ),
    ),
    Defence(
        name="submit-again",
        what="comparing a submitted sheet with what the ledger has of it",
        why="submitting a sheet twice renders it twice",
        cuts=(
            Cut(
                file="storage/ledger/difference.py",
                there="    same_work = known.content == content and known.video_id == video_id\n",
                instead="    same_work = False\n",
            ),
        ),
    ),
    Defence(
        name="clips-at-a-retry",
        what="looking whether the clips still exist when work begins again",
        why="a video is joined from a clip that is gone, again and again",
        test=f"{_OPERATORS}::test_retry_renders_what_vanished_meanwhile",
        cuts=(
            Cut(
                file=f"{_LEDGER}/operators.py",
                there="    agree_with_clips(tx, video_ids)\n",
            ),
        ),
    ),
    Defence(
        name="joins-without-a-clip",
        what="taking joins back whose clip is gone",
        why="a flow joins on, and publishes a video whose clip the ledger does not count",
        test=f"{_ENDINGS}::test_a_vanished_clip_concerns_all_who_still_need_it",
        cuts=(
            Cut(
                file=f"{_LEDGER}/joins.py",
                there="    _end_joins(tx, [video_id for video_id in affected if video_id != lease.video_id])\n",
            ),
        ),
    ),
    Defence(
        name="age-of-an-orphan",
        what="the age below which an object is no orphan",
        why="a sweep deletes a clip between its upload and its commit",
        test="tests/storage/objects/test_orphans.py::test_orphans_are_what_is_old_and_unreferenced",
        cuts=(
            Cut(
                file="storage/objects/orphans.py",
                there=" and found.modified_at < written_before:",
                instead=":",
            ),
        ),
    ),
    Defence(
        name="references",
        what="asking the ledger which objects are pointed to",
        why="a sweep deletes what was published",
        cuts=(
            Cut(
                file="storage/objects/orphans.py",
                there="        if reference != found.key and found.modified_at",
                instead="        if found.modified_at",
            ),
        ),
    ),
    Defence(
        name="last-word",
        what="giving a lease back when a worker is told to go",
        why="every announced preemption counts as a loss",
        cuts=(
            Cut(
                file="model_runtime/supervisor.py",
                there="                last_word.give_back(Failure.of(error.ending, str(error), phase=attempt.step))\n",
            ),
        ),
    ),
)
