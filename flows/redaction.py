"""Secrets kept out of what other people read: logs, artifacts and messages that Prefect stores."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from schemas.settings import Settings

STARS = "****"
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")
_SIGNED = re.compile(r"(?i)(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"')]+")
_SHORTEST = 4
"""Shorter secrets would blot out ordinary words."""


@dataclass(frozen=True)
class Redactor:
    """Call it on every text that leaves for Prefect."""

    secrets: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> Redactor:
        held = [settings.s3_access_key, settings.s3_secret_key, settings.prefect_auth, settings.database_url]
        values = [secret.get_secret_value() for secret in held]
        address = settings.database_url.get_secret_value()
        password = _PASSWORD.search(address)
        if password:
            values.append(password[0].partition(":")[2])
        values.append(settings.prefect_auth.get_secret_value().partition(":")[2])
        plain = {value for value in values if len(value) >= _SHORTEST}
        plain |= {unquote(value) for value in plain}
        return cls(tuple(sorted(plain, key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, STARS)
        return _SIGNED.sub(rf"\1{STARS}", _PASSWORD.sub(STARS, text))
