"""Secrets kept out of what other people read: errors, logs, artifacts, and what Prefect stores."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from pydantic import SecretStr

from schemas.settings import Settings

STARS = "****"
_USERINFO = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")
_SECRET_PARAMETER = re.compile(
    r"(?i)([?&][^=&\s\"']*(?:pass|pwd|token|secret|key|credential|auth|sig)[^=&\s\"']*=)[^&\s\"')]+"
)
_SHORTEST = 4
"""Shorter secrets would blot out ordinary words."""


def public_address(address: str) -> str:
    """An address as people may read it: without who logs in, and without secrets among its parameters.

    What stands before the last `@` is taken for a login even where the address is malformed.
    """
    scheme, separator, rest = address.rpartition("://")
    if "@" in rest:
        rest = f"{STARS}@{rest.rpartition('@')[2]}"
    return _SECRET_PARAMETER.sub(rf"\1{STARS}", f"{scheme}{separator}{rest}")


def secret_names() -> frozenset[str]:
    """The settings that are secrets as a whole; addresses with a login are not among them."""
    secret = {name for name, field in Settings.model_fields.items() if field.annotation is SecretStr}
    return frozenset(secret - {"database_url"})


@dataclass(frozen=True)
class Redactor:
    """Call it on every text that leaves for people: what is known to be secret, or looks like it, becomes stars."""

    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Redactor:
        """Knows the secrets of these settings, also those inside addresses."""
        values = {settings.database_url.get_secret_value()}
        for name in secret_names():
            value = getattr(settings, name).get_secret_value()
            # `user:password` is a secret, and so is what follows the colon.
            values |= {value, value.partition(":")[2]}
        for address in _addresses(settings):
            values |= _hidden_in(address)
        plain = {value for value in values if len(value) >= _SHORTEST}
        plain |= {unquote(value) for value in plain}
        return cls(tuple(sorted(plain, key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, STARS)
        return _SECRET_PARAMETER.sub(rf"\1{STARS}", _USERINFO.sub(STARS, text))


PATTERNS = Redactor()
"""Knows no secret, only what looks like one."""


def _addresses(settings: Settings) -> list[str]:
    values = [value for value in dict(settings).values() if isinstance(value, str)]
    return [settings.database_url.get_secret_value(), *(v for v in values if "@" in v or "?" in v)]


def _hidden_in(address: str) -> set[str]:
    """The password of an address, or its login where it has none, and its secret parameters."""
    rest = address.rpartition("://")[2]
    login = rest.rpartition("@")[0]
    found = {match[0].partition("=")[2] for match in _SECRET_PARAMETER.finditer(address)}
    return found | {login.partition(":")[2] or login}
