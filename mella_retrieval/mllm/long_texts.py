"""Texts for models that read only so much: divided where sentences end, translated in pieces, joined again; nothing is cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mella_retrieval.data.ling.contracts import Failed
from mella_retrieval.data.sentences import split_sentences
from mella_retrieval.data.text import excerpt
from mella_retrieval.languages import Language

Unit = Literal["sentence", "text"]
"""What is translated at a time: each sentence by itself, or a whole text wherever it fits."""

Count = Callable[[Sequence[str]], Sequence[int]]
"""Texts -> tokens that the model reads of each, with all that is put around it."""

_LINES = re.compile(r"\s*\n\s*")
_WITHOUT_SPACES = frozenset({"Hans", "Hant", "Jpan"})
"""Scripts in which nothing stands between sentences; Thai and its neighbours have a space there."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that is translated by itself. Attributes: after: line ends that follow it, "" if none do."""

    text: str
    after: str = ""


def divide(texts: Sequence[str], unit: Unit, count: Count, limit: int) -> list[list[Piece] | Failed]:
    """The pieces of each text, each of at most `limit` tokens; a text with a longer sentence fails as a whole."""
    pieces = [_whole(text) if unit == "text" else _sentences(text) for text in texts]
    lengths = _lengths([piece for found in pieces for piece in found], count)
    if unit == "text":
        pieces = [_sentences(one[0].text) if one and lengths[one[0].text] > limit else one for one in pieces]
        lengths |= _lengths([piece for found in pieces for piece in found if piece.text not in lengths], count)
    return [_fitting(found, lengths, limit) for found in pieces]


def join(pieces: Sequence[Piece], translations: Mapping[str, str | Failed], target: Language) -> str | Failed:
    """The translation of a text from those of its pieces; the first failure is that of the text."""
    space = "" if target.script in _WITHOUT_SPACES else " "
    joined = ""
    for number, piece in enumerate(pieces, start=1):
        found = translations[piece.text]
        if isinstance(found, Failed) or not found:
            reason = found.reason if isinstance(found, Failed) else "no translation"
            own = isinstance(found, Failed) and found.own
            return Failed(f"{reason} (part {number} of {len(pieces)})" if len(pieces) > 1 else reason, own)
        joined += found + (piece.after or (space if number < len(pieces) else ""))
    return joined


def _whole(text: str) -> list[Piece]:
    return [Piece(text.strip())] if text.strip() else []


def _sentences(text: str) -> list[Piece]:
    text, pieces, start = text.strip(), list[Piece](), 0
    for end in [*_LINES.finditer(text), None]:
        line = text[start : end.start()] if end else text[start:]
        *before, last = split_sentences(line) or [""]
        pieces += [*map(Piece, before), Piece(last, "\n" * end.group().count("\n") if end else "")]
        start = end.end() if end else 0
    return pieces if text else []


def _lengths(pieces: Sequence[Piece], count: Count) -> dict[str, int]:
    texts = list(dict.fromkeys(piece.text for piece in pieces))
    return dict(zip(texts, count(texts), strict=True)) if texts else {}


def _fitting(pieces: list[Piece], lengths: Mapping[str, int], limit: int) -> list[Piece] | Failed:
    for piece in pieces:
        if lengths[piece.text] > limit:
            length = f"{lengths[piece.text]:,} tokens without an end mark between, {limit:,} fit"
            return Failed(f"too long: {length}: {excerpt(piece.text, 60)}", own=True)
    return pieces
