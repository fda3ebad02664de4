"""Elements of Markdown, safe for texts that strangers wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&$])")
_UNFILLED = re.compile(r"\*\*\[to be filled in: (.+?)\]\*\*")


def to_fill_in(what: str) -> str:
    """The mark of what only a person can say."""
    return f"**[to be filled in: {what}]**"


def escaped(value: object, length: int | None = None) -> str:
    """A text from the data on one line, without effect as Markdown or HTML."""
    text = " ".join(str(value).split())
    if length is not None and len(text) > length:
        text = f"{text[:length]}..."
    return _SPECIAL.sub(r"\\\1", text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """A table; the columns numbered in `right` are aligned to the right."""
    rules = ["---:" if column in right else "---" for column in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, rules, *rows)]


def fenced(text: str, language: str) -> list[str]:
    """A block of code, in a fence longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return [f"{fence}{language}", text, fence]


def unfilled(card: str) -> list[str]:
    """What a card leaves to be filled in."""
    found: list[str] = _UNFILLED.findall(card)
    return found
