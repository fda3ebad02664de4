"""The metrics of `mella score`, each a number of one answer; a table shows the mean over pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mella_retrieval.data.language_check import judge
from mella_retrieval.data.language_id import LanguageIdentifier
from mella_retrieval.data.ling.checks.repetition import Repetition
from mella_retrieval.mllm.score import overlap
from mella_retrieval.mllm.score.keywords import keywords, said, share_found
from mella_retrieval.mllm.score.repetition import repeats
from mella_retrieval.mllm.score.words import words


@dataclass(frozen=True)
class Tools:
    """What some metrics need. Attributes: identifier: None where languages are not told. repetition: thresholds."""

    identifier: LanguageIdentifier | None = None
    repetition: Repetition = field(default_factory=Repetition)


Score = Callable[[Sequence[str], str, str, Tools], float | None]
"""(references, answer, language, tools) -> number; None where the picture has none."""


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        title: as tables call it.
        score: its function.
        against: whether it looks at the references, so that chance can be told.
        missing: why a language has none with these tools, "" if it has one.
    """

    title: str
    score: Score
    against: bool = True
    missing: Callable[[str, Tools], str] = lambda lang, tools: ""


def _keywords(names: bool, lenient: bool) -> Score:
    """The mean over the references that have keywords, in percent."""

    def score(references: Sequence[str], answer: str, lang: str, tools: Tools) -> float | None:
        found = said(answer, lang)
        shares = [
            share_found([one for one in keywords(text, lang) if one.name or not names], found, lenient=lenient)
            for text in references
        ]
        told = [share for share in shares if share is not None]
        return 100 * sum(told) / len(told) if told else None

    return score


def _overlap(function: Callable[[Sequence[str], str, str], float]) -> Score:
    return lambda references, answer, lang, tools: function(references, answer, lang)


def _language(references: Sequence[str], answer: str, lang: str, tools: Tools) -> float | None:
    if tools.identifier is None:
        return None
    return 100.0 * (judge(tools.identifier, answer, lang)[0] in ("fits", "other script"))


def _no_language(lang: str, tools: Tools) -> str:
    if tools.identifier is None:
        return "languages are not told (identify: false)"
    return "" if tools.identifier.knows(lang) else "no model tells the language"


METRICS: dict[str, Metric] = {
    "keywords": Metric("keyword accuracy, strict", _keywords(names=False, lenient=False)),
    "keywords_lenient": Metric("keyword accuracy, lenient", _keywords(names=False, lenient=True)),
    "names": Metric("names found, strict", _keywords(names=True, lenient=False)),
    "names_lenient": Metric("names found, lenient", _keywords(names=True, lenient=True)),
    "chrf": Metric("chrF++", _overlap(overlap.chrf)),
    "bleu": Metric("character BLEU", _overlap(overlap.character_bleu)),
    "rouge_l": Metric("ROUGE-L", _overlap(overlap.rouge_l)),
    "meteor": Metric("METEOR", _overlap(overlap.meteor), missing=lambda lang, tools: overlap.no_meteor(lang)),
    "language": Metric("in the language", _language, against=False, missing=_no_language),
    "repetition": Metric(
        "repeating answers",
        lambda references, answer, lang, tools: 100.0 * repeats(answer, lang, tools.repetition),
        against=False,
    ),
    "words": Metric("words of an answer", lambda references, answer, lang, tools: float(len(words(answer, lang))), against=False),
}
"""Name -> metric. All but `words` are percent, or points from 0 to 100; of `repetition` less is better."""
