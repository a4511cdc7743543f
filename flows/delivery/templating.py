"""The templates beside this file. In HTML everything is escaped; in Markdown by the `md` filter."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from flows.delivery.summary import clock, size_text

TEMPLATES = Path(__file__).parent / "templates"


_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|<>~&])")


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(md=markdown, plain=plain, clock=clock, size=size_text)
    return made


def render(name: str, **values: Any) -> str:
    return environment().get_template(name).render(**values)


def source(name: str) -> str:
    """A file of the templates as it is."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def markdown(text: object) -> str:
    """Strangers' text as one line of Markdown that means nothing but itself."""
    line = " ".join(str(text).split())
    visible = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in line)
    return _MARKUP.sub(r"\\\1", visible)


def plain(text: str) -> str:
    """Strangers' text for attributes and titles, where nothing isolates it: one line, no control or bidi characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
