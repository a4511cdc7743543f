"""The bucket layout: which key holds what. It cannot move once the first object is written (docs/bucket_layout.md).

inputs/<aa>/<sha256>                                   content-addressed: pictures, speech, manifests
clips/<aa>/<render key>/<epoch>-<attempt>.mp4          one attempt's clip; the ledger says which one counts
videos/<campaign>/<video id>/<epoch>-<attempt>.mp4     one attempt's finished video
videos/<campaign>/<video id>/<epoch>-<attempt>.poster.jpg
videos/<campaign>/<video id>/<epoch>-<attempt>.still-<n>.jpg
reports/<campaign>/<name>                              gallery, results and report of a campaign
inbox/<whatever>                                       put there by people: sheets and their files; never collected
probe/<random>                                         written and deleted by `doctor`
"""

from __future__ import annotations

from schemas.lease import Lease

INBOX = "inbox/"
"""Where people put sheets and their files; references may name it without being allow-listed."""

COLLECTED = ("clips/", "inputs/", "probe/", "videos/")
"""Prefixes, in key order, whose objects are orphans once nothing in the ledger points to them."""


def input_key(sha256: str) -> str:
    return f"inputs/{sha256[:2]}/{sha256}"


def clip_key(render_key: str, lease: Lease) -> str:
    return f"clips/{render_key[:2]}/{render_key}/{lease.object_stem}.mp4"


def video_key(lease: Lease) -> str:
    return f"videos/{lease.campaign_id}/{lease.video_id}/{lease.object_stem}.mp4"


def poster_key(lease: Lease) -> str:
    return f"videos/{lease.campaign_id}/{lease.video_id}/{lease.object_stem}.poster.jpg"


def still_key(lease: Lease, number: int) -> str:
    return f"videos/{lease.campaign_id}/{lease.video_id}/{lease.object_stem}.still-{number}.jpg"


def report_key(campaign_id: str, name: str) -> str:
    return f"reports/{campaign_id}/{name}"


def probe_key(random: str) -> str:
    return f"probe/{random}"
