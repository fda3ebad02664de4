"""Whether records meet sets that they must not meet: pictures and texts of a benchmark in what is trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mella_retrieval.artifacts import Json
from mella_retrieval.data.compose.against import KINDS, NOTHING, Against
from mella_retrieval.data.compose.fate import meetings
from mella_retrieval.data.compose.identity import identify
from mella_retrieval.data.compose.recipe import NEAR_IMAGES
from mella_retrieval.data.compose.sources import Source, rows_again
from mella_retrieval.data.compose.survey import read_sources
from mella_retrieval.data.near.texts import SIMILARITY
from mella_retrieval.data.records import Records, Where
from mella_retrieval.data.writing import Progress

_LISTED = 20


@dataclass(frozen=True, slots=True)
class Met:
    """A record that meets another set: `kind` is one of `KINDS`, `met` names what it met."""

    text_id: str
    image_id: str
    text: str
    kind: str
    met: str


@dataclass
class LeakageReport:
    """What was met.

    Attributes:
        records: records looked at.
        found: kind -> records.
        examples: the first records of each kind.
        notes: what could not be compared.
    """

    records: int = 0
    found: Counter[str] = field(default_factory=Counter)
    examples: list[Met] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was met."""
        return not self.found

    def as_dict(self) -> Json:
        """JSON-able form."""
        listed = [{name: getattr(met, name) for name in Met.__slots__} for met in self.examples]
        return {"ok": self.ok, "records": self.records, "found": dict(self.found), "examples": listed, "notes": self.notes}


def check_leakage(
    records: Records,
    against: Sequence[Records],
    *,
    where: Where | None = None,
    images: int | None = NEAR_IMAGES,
    texts: float | None = SIMILARITY,
    workers: int = 4,
    progress: Progress | None = None,
) -> LeakageReport:
    """Look for pictures and texts of `against` among `records`.

    Pictures are the same by file, URL or perceptual hash (where there are files), texts by their normal form (NFKC, case, white
    space) or shingles. An image_id alone says nothing: it is a number in too many sets.

    Args:
        records: the records to check.
        against: sets that they must not meet.
        where: which of the records, `{"split": "train"}` for instance.
        images: bits in which the hashes of like pictures may differ; None: only equal files count.
        texts: similarity of near-equal texts; 1: only texts of one normal form; None: texts are not compared.
        workers: threads that read pictures.
        progress: called with (records read, records).

    Raises:
        DataError: no record passes `where`.
        MissingDependencyError: the packages for near-duplicates are not installed.
    """
    known = Against(against, images, texts, workers)
    sources = [Source("records", records, where or {})]
    survey = read_sources(sources, images, texts, known, workers, progress)
    kinds, met = meetings(survey, identify(survey, images), known)
    counts = np.bincount(kinds, minlength=len(KINDS))
    report = LeakageReport(len(survey), notes=[*known.notes])
    report.found.update({KINDS[kind]: int(count) for kind, count in enumerate(counts) if count and kind != NOTHING})
    listed = [np.flatnonzero(kinds == kind)[:_LISTED] for kind in range(1, len(KINDS))]
    for number, _, row in rows_again(sources, np.sort(np.concatenate(listed)), ["text_id", "image_id", "text"]):
        kind = int(kinds[number])
        report.examples.append(Met(row["text_id"], row["image_id"], row["text"], KINDS[kind], known.name(kind, int(met[number]))))
    return report
