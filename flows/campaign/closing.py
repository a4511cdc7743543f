"""What a run says of its campaign at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Closing:
    """The last word."""

    final_line: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    """Name of a page to its address."""
