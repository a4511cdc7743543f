"""Which store keys a value points to."""

from __future__ import annotations

from schemas.clip import Publication
from schemas.shot import Shot


def shot_keys(shot: Shot) -> set[str]:
    """Its pictures, its speech as it came and as engines read it."""
    keys = {picture.object.key for picture in shot.images}
    return keys | {shot.speech.original.key, shot.speech.normalised.key} if shot.speech else keys


def publication_keys(publication: Publication) -> set[str]:
    """The video, its poster and its stills."""
    refs = (publication.video, publication.poster, *publication.stills)
    return {ref.key for ref in refs}
