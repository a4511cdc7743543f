"""Ids: stable where a re-run must find the same thing, random where two tries must never meet."""

from __future__ import annotations

import re
import secrets

from schemas.digest import digest


def campaign_id_of(team: str, name: str) -> str:
    """A readable slug and a digest of team and name: the same campaign has the same id in every ledger."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return f"{slug or 'campaign'}-{digest([team, name])[:10]}"


def video_id_of(campaign_id: str, video: str) -> str:
    """20 hexadecimal digits of a digest: names of videos are free text, ids are part of object keys."""
    return digest([campaign_id, video])[:20]


def new_attempt_id() -> str:
    """Random, 32 hexadecimal digits: unique among all attempts ever, whatever becomes of the database."""
    return secrets.token_hex(16)
