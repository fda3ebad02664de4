"""The recipe of `mella data ling`: what is asked, into which languages it is translated, and how both are checked."""

from __future__ import annotations

from collections.abc import Sequence
from string import Formatter

from pydantic import Field, field_validator, model_validator

from mella_retrieval import languages
from mella_retrieval.data.ling.checks import CHECKS
from mella_retrieval.data.ling.checks.agreement import Agreement
from mella_retrieval.data.ling.checks.check import Check, canonical
from mella_retrieval.data.ling.checks.damage import Echo, Empty, Encoding, Ending, Refusal
from mella_retrieval.data.ling.checks.language import InLanguage
from mella_retrieval.data.ling.checks.length import Length
from mella_retrieval.data.ling.checks.repetition import Repetition
from mella_retrieval.data.ling.checks.untranslated import Script, Untranslated
from mella_retrieval.data.ling.contracts import Ask
from mella_retrieval.data.records import COLUMNS
from mella_retrieval.recipes import Strict

_FIELDS = ("language",)
"""What may stand in braces in a prompt."""


class Describe(Strict):
    """How pictures are described.

    Attributes:
        lang: language of the descriptions, one that the captioner writes well.
        prompts: language -> prompts, of which those of `lang` are used; `{language}` becomes its English name.
        views: descriptions of each picture; the prompts take turns.
        batch: pictures asked at a time, halved where memory does not suffice.
        workers: threads that decode pictures ahead.
        seed: for captioners that draw.
    """

    lang: str = "en"
    prompts: dict[str, tuple[str, ...]] = Field(default={"en": ("Describe this picture in one paragraph.",)})
    views: int = Field(default=1, ge=1, le=100)
    batch: int = Field(default=16, ge=1)
    workers: int = Field(default=2, ge=1)
    seed: int = 0

    @field_validator("lang")
    @classmethod
    def _known(cls, code: str) -> str:
        return canonical(code)

    @field_validator("prompts")
    @classmethod
    def _templates(cls, prompts: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for code, templates in prompts.items():
            for template in templates:
                check_template(template, f"the prompt {template!r} of {code}")
        return {canonical(code): templates for code, templates in prompts.items()}

    @model_validator(mode="after")
    def _has_prompts(self) -> Describe:
        if not self.prompts.get(self.lang):
            name = languages.get(self.lang).name
            raise ValueError(f"there is no prompt in {name}, the language of the descriptions: add describe.prompts.{self.lang}.")
        return self

    def ask(self) -> Ask:
        """What the captioner is asked."""
        lang = languages.get(self.lang)
        templates = self.prompts[self.lang]
        prompts = (templates[view % len(templates)].format(language=lang.name) for view in range(self.views))
        return Ask(lang, tuple(prompts), self.seed)


def check_template(template: str, where: str, fields: Sequence[str] = _FIELDS) -> None:
    """Refuse a template with anything else in braces than these fields.

    Raises:
        ValueError: for the validators of recipes and options.
    """
    try:
        found = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{where} is no template: {error}. Write a brace itself as {{{{ or }}}}.") from None
    for _, name, form, conversion in found:
        if name is not None and (name not in fields or form or conversion):
            known = ", ".join(f"{{{known}}}" for known in fields)
            raise ValueError(f"{where} has {{{name}}}, which means nothing here. It may have {known}; a brace itself is {{{{.")
    if not template.strip():
        raise ValueError(f"{where} is empty.")


class Translate(Strict):
    """Attributes: languages: targets, in any known form. batch: texts asked at a time, halved where memory does not suffice."""

    languages: tuple[str, ...] = ()
    batch: int = Field(default=32, ge=1)

    @field_validator("languages")
    @classmethod
    def _known(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(canonical(code) for code in codes)
        _require_different(found, "language")
        return found


def _require_different(names: tuple[str, ...], what: str) -> None:
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise ValueError(f"the {what} {twice[0]} stands twice.")


class Checks(Strict):
    """The checks, each with its parameters; null (None) leaves one out."""

    empty: Empty | None = Empty()
    encoding: Encoding | None = Encoding()
    refusal: Refusal | None = Refusal()
    echo: Echo | None = Echo()
    repetition: Repetition | None = Repetition()
    script: Script | None = Script()
    untranslated: Untranslated | None = Untranslated()
    length: Length | None = Length()
    ending: Ending | None = Ending()
    language: InLanguage | None = InLanguage()
    agreement: Agreement | None = Agreement()

    def chosen(self) -> list[Check]:
        """Those that are not left out, in the order of `CHECKS`."""
        return [check for name in CHECKS if isinstance(check := getattr(self, name), Check)]


class LingRecipe(Strict):
    """How `ling` is made.

    Attributes:
        describe, translate, checks: see there.
        shard: pictures whose answers are stored at a time; a killed job loses at most one. `agreement` compares within it.
        columns: columns of a picture's first record that its texts get, such as its split; by default those of
            `USUAL_COLUMNS` that there are. None of those that every record has.
    """

    describe: Describe = Describe()
    translate: Translate = Translate()
    checks: Checks = Checks()
    shard: int = Field(default=1000, ge=1)
    columns: tuple[str, ...] | None = None

    @field_validator("columns")
    @classmethod
    def _further(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if known := [name for name in columns or () if name in COLUMNS]:
            raise ValueError(f"{known[0]} is a column that every record has; name further ones.")
        _require_different(columns or (), "column")
        return columns

    @model_validator(mode="after")
    def _differ(self) -> LingRecipe:
        if self.describe.lang in self.translate.languages:
            raise ValueError(f"{self.describe.lang} is the language of the descriptions, nothing to translate into.")
        return self


USUAL_COLUMNS = ("split", "category", "licence", "site", "page_url")
"""Columns about a picture, as other commands make them."""
