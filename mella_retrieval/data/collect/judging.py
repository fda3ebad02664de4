"""Candidates through the filters: stopping at the first that removes one, as a job does, or asking all, to judge the filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from mella_retrieval.data.collect.candidates import Candidate
from mella_retrieval.data.collect.filters.step import Picture, Score, Stage, Subject, Verdict
from mella_retrieval.data.collect.recipe import Steps


@dataclass(slots=True)
class Judged:
    """What the filters said of one candidate.

    Attributes:
        subject: the candidate with what was found out about it.
        scores: of all filters that looked.
        removed: filter -> detail, of those that remove it, in their order; at most one where the first ended it.
    """

    subject: Subject
    scores: dict[str, Score] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """The first filter that removes it, "" if none does."""
        return next(iter(self.removed), "")


@dataclass
class FilterCount:
    """What one filter did: how many candidates it looked at and removed, and the text of one of these."""

    name: str
    looked_at: int = 0
    removed: int = 0
    example: str = ""

    @property
    def share(self) -> float:
        """Removed of what it looked at."""
        return self.removed / self.looked_at if self.looked_at else 0.0


class Judge:
    """The filters of one stage, or of several, with what they did."""

    def __init__(self, steps: Steps, stage: Stage) -> None:
        """Args: steps: of a recipe; stage: the one whose filters are asked."""
        self._steps = [(name, step) for name, step in steps if step.stage == stage]
        self.counts = {name: FilterCount(name) for name, _ in self._steps}

    def judge(self, judged: Judged) -> Judged:
        """Ask one filter after the other until one removes the candidate."""
        for name, step in self._steps:
            count = self.counts[name]
            count.looked_at += 1
            if not _take(judged, name, step.judge(judged.subject)):
                count.removed += 1
                count.example = count.example or judged.subject.candidate.text
                return judged
        for _, step in self._steps:
            step.remember(judged.subject)
        return judged


def judge_all(
    candidates: Iterable[Candidate], steps: Steps, repeats: Callable[[Candidate], int], picture: Callable[[str], Picture]
) -> Iterator[Judged]:
    """Ask every filter about every candidate, also about those that another filter removes; each remembers what it lets pass.

    Args:
        candidates: in order.
        steps: of a recipe.
        repeats: candidate -> different pictures of its site under its text.
        picture: address -> picture.
    """
    for candidate in candidates:
        judged = Judged(Subject(candidate, repeats(candidate), candidate.lang, picture(candidate.image)))
        for name, step in steps:
            if _take(judged, name, step.judge(judged.subject)):
                step.remember(judged.subject)
        yield judged


def _take(judged: Judged, name: str, verdict: Verdict) -> bool:
    """Note what a filter says; false if it removes the candidate."""
    judged.scores.update(verdict.scores)
    if verdict.lang:
        judged.subject = replace(judged.subject, lang=verdict.lang)
    if not verdict.ok:
        judged.removed[name] = verdict.detail
    return verdict.ok
