"""Kills in bulk: decks dealt to the slots of an arena, one campaign after another until every card has fired."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.states import Ending
from tests.support.chaos_arena import Arena, Running, clips, merge
from tests.support.chaos_deck import Card, Deck
from tests.support.chaos_plan import Chronicle, Slot
from tests.support.chaos_points import CrashPoint, Moment, Victim, crash_points, outcomes, point_of
from tests.support.chaos_scenes import Scene, scene, story

MOST_ROUNDS = 6


@dataclass(frozen=True, kw_only=True)
class Forces:
    """Who is there to be struck. Each flow has a campaign of its own; the workers serve all."""

    graces_s: tuple[float, ...] = (2.0, 2.0)
    """One worker for each."""
    flows: int = 2
    one_campaign: bool = False
    """All flows share one: one coordinates, the others look on."""
    ranks: int = 1


def shuffled(points: Sequence[CrashPoint], *, seed: int, most_skips: int = 1, processes: float = 0.0) -> list[Card]:
    """The points in a random order, each after a random number of passes.

    `processes`: the share of a flow's cards at which its joins run in processes of their own.
    """
    chance = random.Random(seed)
    order = list(points)
    chance.shuffle(order)
    return [
        Card(
            victim=point.victim,
            step=point.step,
            moment=point.moment,
            # A killed join is made again at once, so the next video comes by itself.
            skip=0 if point.victim is Victim.JOINER else chance.randint(0, most_skips),
            in_process=point.victim is Victim.JOINER or chance.random() < processes,
        )
        for point in order
    ]


def fight(arena: Arena, cards: Sequence[Card], forces: Forces, *, deadline_s: float = 240.0) -> Chronicle:
    """Run campaigns until every card has fired; the whole story."""
    told: list[Chronicle] = []
    left = list(cards)
    while left and len(told) < MOST_ROUNDS:
        running = _round(arena, left, forces, number=len(told), deadline_s=deadline_s)
        told.append(story(running))
        left = [card for slot in running.plan.slots for card in Deck(Path(slot.deck)).left]
    return merge(told)


def _round(arena: Arena, cards: Sequence[Card], forces: Forces, *, number: int, deadline_s: float) -> Running:
    of_workers = [card for card in cards if point_of(card.name).is_of_worker]
    of_flows = [card for card in cards if not point_of(card.name).is_of_worker]
    # While joins run in processes, a flow that is killed leaves some behind: those cards come together.
    of_flows.sort(key=lambda card: not card.in_process)
    slots: list[Slot] = [
        arena.worker(worker, of_workers[worker :: len(forces.graces_s)], ranks=forces.ranks, grace_s=grace_s)
        for worker, grace_s in enumerate(forces.graces_s)
    ]
    campaigns = 1 if forces.one_campaign else forces.flows
    ids = []
    for campaign in range(campaigns):
        jobs = 4 + _passes(of_workers) // campaigns
        videos = 4 + _passes(of_flows) // campaigns
        name = f"round-{number}-{campaign}"
        # Prompts of its own: a clip that another campaign has would not be rendered again.
        rows = clips(max(jobs, videos), pairs=max(0, jobs - videos), prompt=name)
        ids.append(arena.submit(rows, name=name, ranks=forces.ranks))
    flows = [arena.flow(flow, ids[flow % campaigns], of_flows[flow :: forces.flows]) for flow in range(forces.flows)]
    return arena.start([*slots, *flows], deadline_s=deadline_s)


def _passes(cards: Sequence[Card]) -> int:
    """About how many pieces of work go by until all of these have fired."""
    return math.ceil(
        sum(
            card.skip
            + 0.5 * (card.moment == "inside")
            + 0.7 * (card.victim != "worker" or card.signal != "SIGKILL")
            + 2.0 * (card.signal == "SIGSTOP" and card.victim == "worker")  # others go on meanwhile
            for card in cards
        )
    )


# -- other signals than SIGKILL ----------------------------------------------------------------------------------------

ASLEEP_S, SLEEPY_TTL_S = 3.0, 0.7


def signalled(points: Sequence[CrashPoint], signal: str, *, for_s: float = 0.0) -> list[Card]:
    return [
        Card(victim=point.victim, step=point.step, moment=point.moment, signal=signal, for_s=for_s) for point in points
    ]


def edges() -> list[CrashPoint]:
    """Where a listener speaks in the victim's own main thread."""
    return [point for point in crash_points() if point.moment is not Moment.INSIDE]


def sleepy_points() -> list[CrashPoint]:
    """Both edges of every step at which a worker or a flow holds a lease that it has not ended."""
    processes = (Victim.WORKER, Victim.FLOW)
    return [point for point in edges() if point.victim in processes and outcomes(point) == {Ending.LOST}]


def once_at_each_step(points: Sequence[CrashPoint]) -> list[CrashPoint]:
    return list({(point.victim, point.step): point for point in points}.values())


def sleeping(folder: Path, points: Sequence[CrashPoint], *, database_url: str = "") -> Scene:
    """Stop workers and flows at those points for longer than their lease; two flows share one campaign."""
    arena = Arena(folder=folder, database_url=database_url, lease_ttl_s=SLEEPY_TTL_S)
    # Two workers: a job over which three different ones slept is set aside, as it should be.
    dealt = signalled(points, "SIGSTOP", for_s=ASLEEP_S)
    return scene(arena, fight(arena, dealt, Forces(one_campaign=True)))
