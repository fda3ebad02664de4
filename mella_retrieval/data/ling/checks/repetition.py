"""Loops: a model that has lost its thread says the same again and again."""

from __future__ import annotations

import zlib
from typing import ClassVar

import numpy as np
from pydantic import Field

from mella_retrieval.data.ling.checks.check import Judged, Scores, TextCheck
from mella_retrieval.data.ling.checks.words import plain

_LONGEST = 6000
_SHORTEST_LOOP = 8


class Repetition(TextCheck):
    """A text does not repeat itself.

    Three measures. `loop`: the share of the text that one piece fills by standing three times or more in a row ("a red a red a
    red"); `loop_times`: how often the most repeated piece stands in a row. Pieces may be of any length and are compared letter by
    letter, so that no words need be known. `compression`: how many times zlib shortens the text, with one byte for each
    different letter so that all scripts are alike; it finds repeats that are not exact (numbered lists of the same). Whisper
    rejects a transcript at 2.4 by the same idea.

    Attributes:
        loop, times, compression: values from which on a text is rejected.
        letters: texts of fewer letters are not compressed, they have nothing to repeat.
    """

    name: ClassVar[str] = "repetition"
    loop: float = Field(default=0.25, gt=0, le=1)
    times: int = Field(default=6, ge=3)
    compression: float = Field(default=2.8, gt=1)
    letters: int = Field(default=100, ge=1)

    def scores(self, text: Judged) -> dict[str, float]:
        """`loop`, `loop_times` and `compression`."""
        content = plain(text.text)[:_LONGEST]
        share, times = loops(f"{content} ")  # so that the last one ends as the others do
        squeezed = compression(content) if len(content) >= self.letters else 1.0
        return {"loop": share, "loop_times": times, "compression": squeezed}

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        if scores["loop"] >= self.loop or scores["loop_times"] >= self.times:
            return f"the same piece stands {scores['loop_times']:.0f} times in a row; such pieces fill {scores['loop']:.0%} of it"
        if scores["compression"] >= self.compression:
            return f"it says the same again and again (compresses {scores['compression']:.1f} times)"
        return ""


def loops(text: str) -> tuple[float, float]:
    """The largest share of a text that one piece fills by standing three times or more in a row, and how often a piece does.

    Less than `_SHORTEST_LOOP` letters in all (three dots, "ha ha ha") are no loop.
    """
    codes = np.array([ord(character) for character in text], np.int64)
    longest, times = 0, 1.0
    for period in range(1, len(codes) // 3 + 1):
        same = codes[period:] == codes[:-period]
        if np.count_nonzero(same) < 2 * period:
            continue
        breaks = np.flatnonzero(np.concatenate(([True], ~same, [True])))
        length = int(np.diff(breaks).max()) - 1 + period
        if length >= max(3 * period, _SHORTEST_LOOP):
            longest, times = max(longest, length), max(times, length / period)
    return longest / max(len(codes), 1), times


def compression(text: str) -> float:
    """Letters of a text by the bytes that zlib needs, every different letter being one byte."""
    numbers = {character: number for number, character in enumerate(dict.fromkeys(text))}
    data = bytes(numbers[character] % 256 for character in text)
    return len(data) / len(zlib.compress(data, 9))
