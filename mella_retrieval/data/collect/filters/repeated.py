"""The filter `repeated`: a text under many pictures of a site names the site or a category, not the picture."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mella_retrieval.data.collect.filters.step import Filter, Subject, Verdict
from mella_retrieval.recipes import Strict


class RepeatedOptions(Strict):
    """
    Attributes:
        images: a text on so many different picture addresses of one site is removed, all of them.
    """

    images: int = Field(default=3, ge=2)


class Repeated(Filter[RepeatedOptions]):
    """Counts over all candidates of a site, before any filter; case, white space and compatibility forms make no difference."""

    options_type: ClassVar[type[Strict]] = RepeatedOptions

    def judge(self, subject: Subject) -> Verdict:
        """Score: `repeats`."""
        scores = {"repeats": subject.repeats}
        if subject.repeats >= self.options.images:
            return Verdict(False, f"on {subject.repeats} pictures of {subject.candidate.site}", scores)
        return Verdict(True, scores=scores)
