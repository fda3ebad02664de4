"""`mella data check --languages`: whether the texts of a records folder are in the languages that they are said to be in."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Literal

from mella_retrieval import languages
from mella_retrieval.artifacts import Json
from mella_retrieval.data.language_id import SURE, THRESHOLD, LanguageIdentifier, group_of, in_group, likeliest
from mella_retrieval.data.records import Records
from mella_retrieval.data.text import excerpt
from mella_retrieval.data.writing import Progress
from mella_retrieval.errors import DataError

Verdict = Literal["fits", "other script", "other", "not told"]
VERDICTS: tuple[Verdict, ...] = ("fits", "other script", "other", "not told")

_EXAMPLES = 5
_EXCERPT = 80


@dataclass(frozen=True, slots=True)
class Example:
    """A text that is surely in another language: the number of its record from 1, its beginning, what it seems to be."""

    record: int
    text: str
    seems: str
    probability: float


@dataclass(slots=True)
class LanguageFit:
    """The texts of one language.

    Attributes:
        texts: how many there are.
        verdicts: "fits", "other script" (the language, but its code names another script: `sr` for Latin letters),
            "other" (surely another language) or "not told" -> texts.
        seems: what the texts of "other script" and "other" seem to be -> texts.
        examples: the first of "other".
    """

    texts: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    seems: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)

    def as_dict(self) -> Json:
        """JSON-able form."""
        examples = [asdict(example) for example in self.examples]
        return {"texts": self.texts, "verdicts": dict(self.verdicts), "seems": dict(self.seems), "examples": examples}


@dataclass(slots=True)
class LanguageReport:
    """What `check_languages` found.

    Attributes:
        languages: code -> its texts, sorted.
        unknown: those of them that no model tells; all their texts are "not told".
    """

    languages: dict[str, LanguageFit] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no text is surely in another language than its own."""
        return not any(fit.verdicts["other"] for fit in self.languages.values())

    def as_dict(self) -> Json:
        """JSON-able form."""
        return {"unknown": list(self.unknown), "by_language": {code: fit.as_dict() for code, fit in self.languages.items()}}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Head and one row per language, to be shown."""
        rows = []
        for code, fit in self.languages.items():
            shares = [f"{fit.verdicts[verdict] / max(fit.texts, 1):.1%}" for verdict in VERDICTS]
            seems = ", ".join(f"{other} {count:,}" for other, count in fit.seems.most_common(4))
            rows.append([code, f"{fit.texts:,}", *shares, "no model tells it" if code in self.unknown else seems])
        return ["lang", "texts", *VERDICTS, "seem to be"], rows


def check_languages(
    records: Records,
    identifier: LanguageIdentifier | None = None,
    threshold: float = THRESHOLD,
    progress: Progress | None = None,
) -> LanguageReport:
    """Identify the language of every text and compare it with the record's.

    Args:
        records: an opened records folder; read in batches.
        identifier: without one, all languages are candidates.
        threshold: of `LanguageIdentifier.probability`, from which a text fits.
        progress: called with (records looked at, records).
    """
    identifier = identifier or LanguageIdentifier()
    report = LanguageReport({code: LanguageFit() for code in records.languages})
    number = 0
    for batch in records.batches(1_000, columns=["lang", "text"]):
        for code, text in zip(batch["lang"].to_pylist(), batch["text"].to_pylist(), strict=True):
            number += 1
            if code:
                fit = report.languages.setdefault(code, LanguageFit())
                _add(fit, number, text, *judge(identifier, text, code, threshold))
        if progress is not None:
            progress(number, len(records))
    report.unknown = tuple(code for code in report.languages if not _knows(identifier, code))
    return report


def judge(identifier: LanguageIdentifier, text: str, lang: str, threshold: float = THRESHOLD) -> tuple[Verdict, str, float]:
    """Whether a text is in a language, what it seems to be ("" without letters), and how likely it is that.

    "other" takes `SURE` of another language; what reaches neither that nor the threshold is "not told", as is a text in a
    language that the identifier does not know.
    """
    scores = identifier.scores(text)
    found = likeliest(scores)
    if not found.lang or not _knows(identifier, lang):
        return "not told", found.lang, found.probability
    code = languages.normalise(lang)
    if in_group(scores, code) >= threshold:
        return "fits", found.lang, found.probability
    same = [other for other in scores if _base(other) == _base(code)]
    if same and max(in_group(scores, other) for other in same) >= threshold:
        return "other script", same[0], found.probability
    sure = found.probability >= SURE and found.lang not in group_of(code)
    return "other" if sure else "not told", found.lang, found.probability


def _knows(identifier: LanguageIdentifier, lang: str) -> bool:
    try:
        return identifier.knows(lang)
    except DataError:  # no language code at all; `mella data check` says so
        return False


def _base(code: str) -> str:
    return code.partition("-")[0]


def _add(fit: LanguageFit, number: int, text: str, verdict: Verdict, seems: str, probability: float) -> None:
    fit.texts += 1
    fit.verdicts[verdict] += 1
    if verdict in ("other", "other script"):
        fit.seems[seems] += 1
    if verdict == "other" and len(fit.examples) < _EXAMPLES:
        fit.examples.append(Example(number, excerpt(text, _EXCERPT), seems, round(probability, 4)))
