"""The filter `language`: the language of the text itself, against what its page declares and what is collected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from mella_retrieval.data.collect.filters.step import Filter, Score, Subject, Verdict
from mella_retrieval.data.language_id import THRESHOLD, LanguageIdentifier, in_group, likeliest
from mella_retrieval.errors import ConfigError
from mella_retrieval.languages import normalise
from mella_retrieval.recipes import Strict


class LanguageOptions(Strict):
    """
    Attributes:
        declared: probability that the text is in the language that its page declares, at least. Low, because a page says what
            four of five of its texts are in: by Bayes a probability of .2 is then one of .5.
        found: probability of the likeliest language, at least, where the page declares none or one that is not collected
            (templates in English say so on pages in any language).
        page: whether a page's declaration binds: a text in another collected language than its page's is removed.
    """

    declared: float = Field(default=0.2, ge=0, le=1)
    found: float = Field(default=THRESHOLD, ge=0, le=1)
    page: bool = True


class Language(Filter[LanguageOptions]):
    """A text must be in its page's language where that is collected, else in one of those that are.

    Two scripts of a language are one (`sr`, `sr-Latn`); the record gets the code of the script it is in. Languages that short
    texts do not tell apart (`language_id.GROUPS`) pass as one another.
    """

    options_type: ClassVar[type[Strict]] = LanguageOptions

    def __init__(self, options: LanguageOptions, languages: Sequence[str] = ()) -> None:
        super().__init__(options, languages)
        self._identifier = LanguageIdentifier()
        self._wanted = frozenset(map(_base, languages))
        for code in languages:
            if not self._written(code):
                known = ", ".join(self._identifier.languages)
                raise ConfigError(f"the filter language cannot tell {code!r}; it knows {known}.")

    def judge(self, subject: Subject) -> Verdict:
        """Scores: `language_probability`; `language_found`, the likeliest language."""
        scores = self._identifier.scores(subject.text)
        if not scores:
            return Verdict(True)  # no letters that tell; other filters remove such texts
        best = likeliest(scores)
        declared = normalise(subject.candidate.lang) if subject.candidate.lang else ""
        if self.options.page and declared and self._is_wanted(declared) and (written := self._written(declared)):
            lang = max(written, key=lambda code: in_group(scores, code))
            probability = round(in_group(scores, lang), 4)
            wrong = f"{best.lang} on a page in {declared}" if probability < self.options.declared else ""
        else:
            lang, probability = best.lang, round(best.probability, 4)
            wrong = self._wrong(lang, probability)
        measured: dict[str, Score] = {"language_probability": probability, "language_found": best.lang}
        return Verdict(not wrong, wrong, measured, "" if wrong else lang)

    def _wrong(self, lang: str, probability: float) -> str:
        """Why a text does not stay on a page that does not tell its language."""
        if not self._is_wanted(lang):
            return f"{lang} is not collected"
        return f"{lang}, but not certain enough" if probability < self.options.found else ""

    def _is_wanted(self, code: str) -> bool:
        return not self._wanted or _base(code) in self._wanted

    def _written(self, code: str) -> list[str]:
        """The scripts of a language that can be told."""
        return [known for known in self._identifier.languages if _base(known) == _base(code)]


def _base(code: str) -> str:
    return code.partition("-")[0]
