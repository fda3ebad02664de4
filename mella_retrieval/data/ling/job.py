"""A job of making `ling`: its pictures in shards, its questions, and what was answered to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from mella_retrieval import languages
from mella_retrieval.artifacts import Json, sha256_bytes
from mella_retrieval.data.ling.answers import FAILED, Answers, is_failure
from mella_retrieval.data.ling.checks.check import Check, Judged, Tools
from mella_retrieval.data.ling.contracts import Captioner, Translator
from mella_retrieval.data.ling.judging import Judgement, active, judge
from mella_retrieval.data.ling.recipe import LingRecipe
from mella_retrieval.data.records import Records
from mella_retrieval.languages import Language


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a model gave.

    Attributes:
        text_id: decided by picture, language and content.
        image_id: of its picture.
        view: number of the description that it is or translates, from 1.
        content: the text itself.
        source: the description that it translates.
    """

    text_id: str
    image_id: str
    view: int
    content: str
    source: Text | None = None


@dataclass(frozen=True)
class Models:
    """What makes and checks the texts. Attributes: translator: None for descriptions alone. tools: of the checks."""

    captioner: Captioner
    translator: Translator | None = None
    tools: Tools = field(default_factory=Tools)


@dataclass
class Job:
    """One job.

    Attributes:
        pictures: first rows of the pictures (`image_id`, `image` and further columns), in order.
        records: where they come from.
        work: folder of stored answers.
        recipe, models: as for `make_ling`.
        identity: what decides which pictures stand in which shard.
        retry: ask again where a plug-in failed before.
        described, translated, scored: the stored answers; of each target language, of each check and language.
    """

    pictures: pa.Table
    records: Records
    work: Path
    recipe: LingRecipe
    models: Models
    identity: Json
    retry: bool = False
    _good: dict[int, list[bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        recipe, models = self.recipe, self.models
        self.source = languages.get(recipe.describe.lang)
        self.targets = [languages.get(code) for code in recipe.translate.languages]
        self.ask = recipe.describe.ask()
        asked = {"lang": self.source.code, "prompts": list(self.ask.prompts), "seed": self.ask.seed}
        self.described = self._answers("describe", {"captioner": models.captioner.fingerprint, **asked}, recipe.describe.batch)
        self.translated = {
            target.code: self._answers(
                f"translate-{target.code}",
                {"translator": models.translator.fingerprint, "source": self.source.code, "target": target.code},
                recipe.translate.batch,
            )
            for target in self.targets
            if models.translator
        }
        self.scored = {
            (check.name, lang.code): self._answers(
                f"{check.name}-{lang.code}",
                {"check": check.name, "by": check.key(models.tools), "source": self.source.code, "lang": lang.code},
                models.tools.batch,
            )
            for lang in (self.source, *self.targets)
            for check in self.checks(lang)
            if check.stored
        }

    def _answers(self, name: str, key: Json, batch: int) -> Answers:
        return Answers(self.work, name, {**self.identity, **key}, batch, retry=self.retry)

    def checks(self, lang: Language) -> list[Check]:
        """The checks of texts in a language that have what they need."""
        return active(self.recipe.checks.chosen(), self.models.tools, translation=lang is not self.source)

    @property
    def shards(self) -> list[tuple[int, int]]:
        """Begin and end of each in the pictures: none larger than the recipe says, all of nearly one size."""
        count = -(-len(self.pictures) // self.recipe.shard)
        return list(pairwise([number * len(self.pictures) // max(count, 1) for number in range(count + 1)]))

    def rows(self, shard: int) -> list[dict[str, Any]]:
        """The first rows of the pictures of a shard."""
        begin, end = self.shards[shard]
        rows: list[dict[str, Any]] = self.pictures.slice(begin, end - begin).to_pylist()
        return rows

    # What was found -------------------------------------------------------------------------------------------------------

    def undescribed(self, shard: int) -> dict[str, str]:
        """image_id -> why a picture of the shard has no description."""
        stored = self.described.read(shard, [row["image_id"] for row in self.rows(shard)])
        return {
            image_id: value[FAILED] if is_failure(value) else "no description"
            for image_id, value in stored.items()
            if is_failure(value) or not value
        }

    def descriptions(self, shard: int) -> list[Text]:
        """What the captioner said of the pictures of a shard; the same about one picture once."""
        stored = self.described.read(shard, [row["image_id"] for row in self.rows(shard)])
        texts: dict[str, Text] = {}
        for image_id, contents in stored.items():
            for view, content in enumerate(() if is_failure(contents) else contents, start=1):
                text = _text(image_id, self.source, view, content)
                texts.setdefault(text.text_id, text)
        return list(texts.values())

    def good_descriptions(self, shard: int) -> list[Text]:
        """Descriptions that pass their checks: these are translated."""
        texts = self.descriptions(shard)
        if shard not in self._good:
            self._good[shard] = [not found.problems for found in self.judgements(shard, self.source, texts)]
        return [text for text, good in zip(texts, self._good[shard], strict=True) if good]

    def translations(self, shard: int, lang: Language) -> tuple[list[Text], dict[str, str]]:
        """What the translator said of the good descriptions, and text_id of a description -> why it has no translation."""
        sources = self.good_descriptions(shard)
        stored = self.translated[lang.code].read(shard, [text.text_id for text in sources])
        texts, without = [], {}
        for source in sources:
            value = stored[source.text_id]
            if is_failure(value) or not value:
                without[source.text_id] = value[FAILED] if value else "no translation"
            else:
                texts.append(_text(source.image_id, lang, source.view, value, source))
        return texts, without

    def texts(self, shard: int, lang: Language) -> list[Text]:
        """Descriptions or translations, whatever the checks say."""
        return self.descriptions(shard) if lang is self.source else self.translations(shard, lang)[0]

    def judgements(self, shard: int, lang: Language, texts: Sequence[Text]) -> list[Judgement]:
        """The outcome of all checks for the texts of a shard in a language."""
        ids = list(map(pair_id, texts))
        stored: dict[str, list[Mapping[str, float]]] = {}
        for check in self.checks(lang):
            if check.stored:
                scores = self.scored[check.name, lang.code].read(shard, ids)
                stored[check.name] = [scores[name] for name in ids]
        return judge(self.checks(lang), self.judged(texts, lang), self.models.tools, stored)

    def judged(self, texts: Sequence[Text], lang: Language) -> list[Judged]:
        """The texts as checks look at them."""
        translator = self.models.translator
        prompts = translator.prompts if translator and lang is not self.source else self.ask.prompts
        return [
            Judged(text.content, lang, text.source.content, self.source, prompts)
            if text.source
            else Judged(text.content, lang, prompts=prompts)
            for text in texts
        ]


def _text(image_id: str, lang: Language, view: int, content: str, source: Text | None = None) -> Text:
    text_id = f"{image_id}#{lang.code}#{sha256_bytes(content.encode())[:16]}"
    return Text(text_id, image_id, view, content, source)


def pair_id(text: Text) -> str:
    """A text with its source: one translation may belong to two descriptions."""
    return f"{text.text_id} < {text.source.text_id}" if text.source else text.text_id
