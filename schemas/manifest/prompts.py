"""A prompt cell as the model reads it: placeholders filled once, then cleaned as HuMo cleans its prompt field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice

from schemas.manifest.cells import Fault
from schemas.manifest.columns import closest, is_ignored
from schemas.manifest.wording import shown, visible
from schemas.problem import Code

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
_BRACES = ("{{", "}}")
_SUGGESTIONS = 100
_LISTED = 20
"""Faults of one kind that are listed for one cell."""


def _has_braces(text: str) -> bool:
    return "{{" in text or "}}" in text


def clean_prompt(text: str) -> str:
    """Blanks around it off, underscores to blanks, double quotes around it off: the reference's prompt field."""
    return text.strip().replace("_", " ").strip('"')


class Placeholders:
    """What `{{name}}` may mean in one sheet: a column by its name (or by its name before mapping), else a default.

    A text is filled up to about `most_chars`: a cell of nothing but `{{a}}` would swell to a thousand times the sheet.
    """

    def __init__(
        self, columns: Sequence[str], header: Sequence[str], defaults: Mapping[str, str], *, most_chars: int = 2**15
    ) -> None:
        self.defaults = defaults
        self.most_chars = most_chars
        self.places: dict[str, int] = {}
        for names in (columns, header):
            for index, name in enumerate(names):
                if not is_ignored(name) and not is_ignored(columns[index]):
                    self.places.setdefault(name.strip(), index)
        self._suggestions: dict[str, str] = {}

    def fill(self, text: str, cells: Sequence[str], *, column: str) -> tuple[str, list[Fault]]:
        """`text` with every placeholder filled, and what cannot be filled; a filled value is not filled again.

        A text beyond `most_chars` comes back as it is, one that grows beyond them as far as it was filled.
        """
        if len(text) > self.most_chars or not _has_braces(text):
            return text, []
        faults: list[Fault] = []
        room = self.most_chars

        def value(match: re.Match[str]) -> str:
            nonlocal room
            found = self._value(match[1].strip(), cells, column) if room > 0 else ""
            if isinstance(found, Fault):
                if len(faults) < _LISTED and found not in faults:
                    faults.append(found)
                return match[0]
            found = found[: self.most_chars]
            room -= len(found)
            return found

        filled = _PLACEHOLDER.sub(value, text)
        pieces = _PLACEHOLDER.split(text)[::2]
        torn = (_malformed(column, piece) for piece in pieces if _has_braces(piece))
        faults.extend(islice(torn, _LISTED))
        if not faults and _has_braces(filled):
            # A single brace of the text met a single brace of a value.
            faults.append(_malformed(column, filled))
        return filled, faults

    def _value(self, name: str, cells: Sequence[str], column: str) -> str | Fault:
        if not name:
            return _malformed(column, "{{}}")
        place = self.places.get(name)
        if place is None and name not in self.defaults:
            return self._unknown(name, column)
        own = cells[place].strip() if place is not None else ""
        filled = own or self.defaults.get(name, "")
        if _has_braces(filled):
            return Fault(
                code=Code.PLACEHOLDER_MALFORMED,
                column=column,
                message=f"what {{{{{visible(name)}}}}} stands for holds braces itself: {shown(filled)};"
                " placeholders are filled once only",
                fix=f"write the text out in {shown(name)}",
            )
        return filled

    def _unknown(self, name: str, column: str) -> Fault:
        return Fault(
            code=Code.PLACEHOLDER_UNKNOWN,
            column=column,
            message=f"the placeholder {shown('{{' + name + '}}')} is no column and no default{self._suggestion(name)}",
            fix=f"add a column {shown(name)}, or set it under [placeholders] in campaign.toml",
        )

    def _suggestion(self, name: str) -> str:
        # Comparing words is slow: a sheet of nothing but different typing errors gets a hundred hints, not more.
        if name not in self._suggestions:
            if len(self._suggestions) == _SUGGESTIONS:
                return ""
            close = closest(name, [*self.places, *self.defaults])
            self._suggestions[name] = f"; did you mean {{{{{visible(close)}}}}}?" if close else ""
        return self._suggestions[name]


def _malformed(column: str, piece: str) -> Fault:
    at = min(place for braces in _BRACES if (place := piece.find(braces)) >= 0)
    return Fault(
        code=Code.PLACEHOLDER_MALFORMED,
        column=column,
        message=f"the braces near {shown(piece[max(0, at - 12) : at + 24])} are no placeholder; expected {{{{name}}}}",
        fix="write {{name}} with two braces on both sides, or take the braces out",
    )
