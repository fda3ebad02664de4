"""Samples of what a job removed and kept, drawn by lot while it streams.

Each candidate draws a number from the seed and its content; the lowest numbers stay. So a sample depends neither on the order of
the work nor on where it was interrupted, and those of parts add up to that of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from mella_retrieval.artifacts import Json
from mella_retrieval.data.collect.candidates import Candidate
from mella_retrieval.data.collect.filters.step import Score
from mella_retrieval.data.collect.lots import Lots
from mella_retrieval.data.collect.storing import candidate_of
from mella_retrieval.data.near.shingles import digests

KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Drawn:
    """One candidate of a sample.

    Attributes:
        lot: its number, 64 bits.
        reason: the filter that removed it, or `KEPT`.
        detail: what the filter said.
        candidate, lang, scores: as they stood then.
        part: number of the part of the job that it comes from.
    """

    lot: int
    reason: str
    detail: str
    candidate: Candidate
    lang: str = ""
    scores: Mapping[str, Score] = field(default_factory=dict)
    part: int = 0

    def as_dict(self) -> Json:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Json) -> Drawn:
        """From its JSON."""
        return cls(**{**value, "candidate": candidate_of(value["candidate"])})


class Samples:
    """The samples of a job, or of a part of one.

    Attributes:
        part: the part from which candidates come now.
    """

    def __init__(self, size: int, seed: int, part: int = 0) -> None:
        """Args: size: of each reason; seed: of the lots; part: see above."""
        self._seed, self.part = seed, part
        self._lots: Lots[str, Drawn] = Lots(size)

    def wants(self, reason: str, candidate: Candidate) -> int | None:
        """The lot of a candidate if it would be in the sample now."""
        text = "\n".join((str(self._seed), reason, candidate.page, candidate.image, candidate.text, *candidate.provenance))
        lot = int(digests([text])[0])
        return lot if self._lots.wants(reason, lot) else None

    def add(self, drawn: Drawn) -> None:
        """Take a candidate in; the highest lot goes if there are too many."""
        self._lots.add(drawn.reason, drawn.lot, drawn)

    def add_all(self, several: Iterable[Drawn]) -> None:
        """Take in the sample of a part."""
        for drawn in several:
            self.add(drawn)

    def all(self) -> list[Drawn]:
        """All samples, sorted by reason and lot."""
        return [drawn for _, several in sorted(self._lots.all().items()) for drawn in several]
