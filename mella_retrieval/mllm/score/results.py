"""What scoring finds: one row for each kind of text, metric and language, with the models beside one another."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from mella_retrieval.artifacts import Json
from mella_retrieval.mllm.score.bootstrap import Difference, Interval

ALL = "all"
"""The mean over languages, each counting as much as another."""


@dataclass(frozen=True)
class Cell:
    """One model's mean over the pictures. Attributes: chance: of its answers handed to other pictures; None if there is none."""

    score: Interval
    chance: float | None = None


@dataclass(frozen=True)
class Row:
    """A metric in a language.

    Attributes:
        kind: `know` or `ling`; `signs` for the measure of forgetting.
        metric: key of `METRICS`, or `accuracy`, `accuracy_plus` of the signs.
        lang: code, or `ALL`.
        pictures: that have a score.
        cells: model -> mean.
        differences: model -> difference from the first model.
    """

    kind: str
    metric: str
    lang: str
    pictures: int
    cells: dict[str, Cell]
    differences: dict[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True)
class SetReport:
    """One kind and language.

    Attributes:
        pictures: that are scored.
        unreadable: pictures left out, which could not be read.
        references: share of the references that are in their language; None where it was not told.
        failed: model -> pictures without an answer; they score 0.
        empty: model -> pictures of which it said nothing.
        corpus: model -> chrF++ and BLEU over all answers at once, with sacrebleu's signatures.
        missing: metric -> why there is none.
    """

    kind: str
    lang: str
    pictures: int
    unreadable: int
    references: float | None
    failed: dict[str, int]
    empty: dict[str, int]
    corpus: dict[str, Json]
    missing: dict[str, str]


@dataclass
class ScoreReport:
    """All of it.

    Attributes:
        models: name -> model, fingerprint, decoding and what else decides its answers.
        sets, rows: see there.
        unlike: differences between the models that were allowed.
        passed: reason -> records that are no reference.
        unclear: model -> answers about signs that begin with neither yes nor no.
        notes: what is not reported, and why.
        recipe, records, versions: what made the report.
    """

    models: dict[str, Json]
    sets: list[SetReport]
    rows: list[Row]
    unlike: list[str]
    passed: Counter[str]
    unclear: dict[str, int]
    notes: list[str]
    recipe: Json
    records: str
    versions: dict[str, str]

    def as_dict(self) -> Json:
        """JSON-able form."""
        found: dict[str, Any] = asdict(self)
        return {**found, "passed": dict(self.passed)}

    def row(self, kind: str, metric: str, lang: str) -> Row:
        """The row of a metric.

        Raises:
            KeyError: there is none.
        """
        found = next((row for row in self.rows if (row.kind, row.metric, row.lang) == (kind, metric, lang)), None)
        if found is None:
            raise KeyError((kind, metric, lang))
        return found
