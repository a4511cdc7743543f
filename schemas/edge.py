"""The two edges of a step of work: whoever listens to steps is told at both."""

from __future__ import annotations

from enum import StrEnum


class Edge(StrEnum):
    BEFORE = "before"
    AFTER = "after"
