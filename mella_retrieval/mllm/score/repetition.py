"""Answers that say the same again and again, told as the check `repetition` of `mella data ling` tells them."""

from __future__ import annotations

from mella_retrieval import languages
from mella_retrieval.data.ling.checks.check import Judged
from mella_retrieval.data.ling.checks.repetition import Repetition


def repeats(answer: str, lang: str, check: Repetition | None = None) -> bool:
    """Whether an answer is a loop; `check` has the thresholds, those of `mella data ling` by default."""
    check = check or Repetition()
    judged = Judged(answer, languages.get(lang))
    return bool(check.problem(judged, check.scores(judged)))
