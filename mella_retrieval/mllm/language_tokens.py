"""How translation models are told about languages, read from what their tokenizers know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mella_retrieval import languages
from mella_retrieval.errors import DataError
from mella_retrieval.languages import Language


@dataclass(frozen=True)
class Told:
    """What goes with the texts of one pair of languages.

    Attributes:
        source: value of the tokenizer's `src_lang`; "" where it has none.
        prefix: stands before every text.
        first: token that every translation begins with; "" for none.
    """

    source: str = ""
    prefix: str = ""
    first: str = ""


@dataclass(frozen=True)
class Family:
    """A kind of translation model.

    Attributes:
        name: for messages.
        token: of a language in the vocabulary; its group is the code.
        prefix: whether the target's token stands before the text; else the translation begins with it.
        tells_source: whether the tokenizer is told the source language, too.
    """

    name: str
    token: re.Pattern[str]
    prefix: bool = False
    tells_source: bool = False


FAMILIES = (
    Family("NLLB", re.compile(r"([a-z]{3}_[A-Z][a-z]{3})"), tells_source=True),
    Family("M2M100", re.compile(r"__([a-z]{2,3})__"), tells_source=True),
    Family("MADLAD", re.compile(r"<2([A-Za-z]{2,3}(?:_[A-Za-z]{2,4})?)>"), prefix=True),
    Family("Marian", re.compile(r">>([a-z]{2,3}(?:_[A-Z][a-z]{3})?)<<"), prefix=True),
)
_FEWEST = 2
"""Tokens of languages that make a family; one alone may be chance."""


class LanguageTokens:
    """The languages of a tokenizer.

    Attributes:
        family: its name; "" where it names no language at all.
        sources: code -> token; None where any text is read (the model says only of what group its languages are).
        targets: code -> token.
    """

    def __init__(self, tokenizer: Any) -> None:
        vocabulary = {**tokenizer.get_vocab(), **getattr(tokenizer, "lang_token_to_id", {})}
        self._family, self.targets = _found(vocabulary)
        self.sources: Mapping[str, str] | None = self.targets
        if hasattr(tokenizer, "supported_language_codes"):  # Marian: the source is fixed, the target too or one of a group
            known = _code(str(tokenizer.source_lang or ""))
            self.sources = {known: ""} if known else None
            if not self.targets and (target := _code(str(tokenizer.target_lang or ""))):
                self.targets = {target: ""}
        self.family = self._family.name if self._family else "Marian" if self.targets else ""

    def require(self, source: Language, target: Language, model: str) -> None:
        """Refuse languages that the model does not know.

        Raises:
            DataError: names the language and those that are known.
        """
        for lang, known, action in ((source, self.sources, "read"), (target, self.targets, "write")):
            if known is not None and lang.code not in known:
                shown = ", ".join(sorted(known)) if len(known) <= 30 else f"{len(known)} others, {lang.code} is not among them"
                codes = f"{lang.code}, FLORES {lang.flores}" if lang.flores else lang.code
                raise DataError(f"{model} ({self.family}) does not {action} {lang.name} ({codes}). It knows {shown}.")

    def told(self, source: Language, target: Language) -> Told:
        """What goes with texts of these languages."""
        token, family = self.targets[target.code], self._family
        if family is None or not token:
            return Told()
        spoken = self.sources[source.code] if family.tells_source and self.sources else ""
        code = family.token.fullmatch(spoken)
        return Told(code.group(1) if code else "", f"{token} " if family.prefix else "", "" if family.prefix else token)


def _found(vocabulary: Mapping[str, int]) -> tuple[Family | None, dict[str, str]]:
    for family in FAMILIES:
        tokens = [(token, found.group(1)) for token in vocabulary if (found := family.token.fullmatch(token))]
        codes = _by_language(sorted(tokens, key=lambda pair: vocabulary[pair[0]]))
        if len(codes) >= _FEWEST:
            return family, codes
    return None, {}


def _by_language(tokens: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Our code of a language -> its token; of several the one that is spelled as ours, or as FLORES has it."""
    found: dict[str, str] = {}
    exact: dict[str, str] = {}
    for token, spelled in tokens:
        if code := _code(spelled):
            found.setdefault(code, token)
            if spelled.replace("_", "-") == code or spelled == languages.get(code).flores:
                exact[code] = token
    return {**found, **exact}


def _code(spelled: str) -> str:
    try:
        return languages.normalise(spelled)
    except DataError:
        return ""
