"""All checks of a recipe on some texts: the scores, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mella_retrieval.data.ling.checks.check import Check, Judged, Tools

DIGITS = 4
"""To which scores are rounded before they decide and are stored: what a record shows is what decided."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Outcome for one text.

    Attributes:
        scores: name -> value.
        problems: check -> what is wrong, in the order of the checks; empty for a good text.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """`check: what is wrong` of the first check that rejects, or ""."""
        return next((f"{name}: {problem}" for name, problem in self.problems.items()), "")


def active(checks: Sequence[Check], tools: Tools, *, translation: bool) -> list[Check]:
    """The checks that look at such texts and have what they need."""
    return [check for check in checks if (translation or not check.needs_source) and not check.missing(tools)]


def measure(check: Check, texts: Sequence[Judged], tools: Tools) -> list[dict[str, float]]:
    """Scores of a check, rounded."""
    return [{name: round(value, DIGITS) for name, value in scores.items()} for scores in check.measure(texts, tools)]


def judge(
    checks: Sequence[Check], texts: Sequence[Judged], tools: Tools, stored: Mapping[str, Sequence[Mapping[str, float]]]
) -> list[Judgement]:
    """Judge texts by all checks, without stopping at the first that rejects.

    Args:
        checks: from `active`.
        texts: all of one language and shard.
        tools: for the checks that are not stored.
        stored: check -> scores of each text, of those that were taken before.
    """
    measured = {check.name: stored[check.name] if check.name in stored else measure(check, texts, tools) for check in checks}
    return [
        Judgement(
            {name: value for check in checks for name, value in measured[check.name][row].items()},
            {check.name: found for check in checks if (found := check.problem(text, measured[check.name][row]))},
        )
        for row, text in enumerate(texts)
    ]
