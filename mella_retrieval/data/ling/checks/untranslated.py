"""Parts that were left in the source's language, and letters of the wrong script."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

from pydantic import Field

from mella_retrieval.data.ling.checks.check import Judged, Scores, TextCheck
from mella_retrieval.data.ling.checks.words import names, plain, scripts_of, words
from mella_retrieval.data.statistics.scripts import script_of


class Untranslated(TextCheck):
    """A translation does not take over the source's words; names, quotations (`words.names`) and single words it may.

    Not for languages that share most of their words (Croatian and Serbian in Latin script, say): switch it off there.

    Attributes:
        run: source words in a row, names not counted, from which on a translation is rejected.
        share: share of the translation's letters in source words that are no names, from which on it is rejected.
    """

    name: ClassVar[str] = "untranslated"
    needs_source: ClassVar[bool] = True
    run: int = Field(default=4, ge=2)
    share: float = Field(default=0.4, gt=0, le=1)

    def scores(self, text: Judged) -> dict[str, float]:
        """`copied_run`: words; `copied`: share of the letters."""
        known = names(text.source)
        source, own = words(plain(text.source)), words(plain(text.text))
        kept = set(source) - known
        copied = sum(len(word) for word in own if word in kept and len(word) > 1)
        total = sum(map(len, own))
        return {"copied_run": float(longest_run(source, own, known)), "copied": copied / total if total else 0.0}

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        if scores["copied_run"] >= self.run:
            return f"{scores['copied_run']:.0f} words of the source in a row"
        if scores["copied"] >= self.share:
            return f"{scores['copied']:.0%} of it are words of the source"
        return ""


def longest_run(source: Sequence[str], own: Sequence[str], uncounted: frozenset[str]) -> int:
    """Words in the longest row that stands in both texts, without those that do not count."""
    places: dict[str, list[int]] = {}
    for place, word in enumerate(own):
        places.setdefault(word, []).append(place)
    best, running = 0, dict[int, int]()  # place in `own` -> words of the row that ends there
    for word in source:
        counts = word not in uncounted
        running = {place: running.get(place - 1, 0) + counts for place in places.get(word, ())}
        best = max(best, *running.values(), 0)
    return best


class Script(TextCheck):
    """A text is written in the script of its language; names and quotations, its own and those of its source, do not count.

    Attributes:
        share: share of letters of other scripts from which on a text is rejected.
    """

    name: ClassVar[str] = "script"
    share: float = Field(default=0.3, gt=0, le=1)

    def scores(self, text: Judged) -> dict[str, float]:
        """`other_script`: the share. A run of letters of another script with a capital in it is taken for a name."""
        usual = scripts_of(text.lang)
        if not usual:
            return {"other_script": 0.0}
        known = names(text.source) | names(text.text)
        counted = others = 0
        for script, run in groupby(text.text, script_of):
            word = "".join(run)
            foreign = script not in usual
            if script and not (foreign and (word != word.lower() or word in known)):
                counted += len(word)
                others += len(word) if foreign else 0
        return {"other_script": others / counted if counted else 0.0}

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        share = scores["other_script"]
        return f"{share:.0%} of its letters are not in the script of {text.lang.name}" if share >= self.share else ""
