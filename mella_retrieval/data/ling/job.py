"""A job of making `ling`: its pictures in shards, its questions, and what was answered to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from mella_retrieval import languages
from mella_retrieval.artifacts import Json
from mella_retrieval.data.ling.answers import FAILED, is_failure
from mella_retrieval.data.ling.checks.check import Tools
from mella_retrieval.data.ling.contracts import Captioner, Translator
from mella_retrieval.data.ling.recipe import LingRecipe
from mella_retrieval.data.ling.translating import Questions, Text, TextJob, text_id
from mella_retrieval.data.records import Records
from mella_retrieval.languages import Language


@dataclass(frozen=True)
class Models:
    """What makes and checks the texts. Attributes: translator: None for descriptions alone. tools: of the checks."""

    captioner: Captioner
    translator: Translator | None = None
    tools: Tools = field(default_factory=Tools)


@dataclass
class Job(TextJob):
    """One job.

    Attributes:
        pictures: first rows of the pictures (`image_id`, `image` and further columns), in order.
        records: where they come from.
        work: folder of stored answers.
        recipe, models: as for `make_ling`.
        identity: what decides which pictures stand in which shard.
        retry: ask again where a plug-in failed before.
        described: the stored descriptions.
    """

    checks_source = True

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
        super().__init__(
            Questions(
                work=self.work,
                identity=self.identity,
                source=languages.get(recipe.describe.lang),
                targets=[languages.get(code) for code in recipe.translate.languages],
                translator=models.translator,
                tools=models.tools,
                checks=recipe.checks.chosen(),
                batch=recipe.translate.batch,
                retry=self.retry,
            )
        )
        self.ask = recipe.describe.ask()
        asked = {"lang": self.source.code, "prompts": list(self.ask.prompts), "seed": self.ask.seed}
        key = {"captioner": models.captioner.fingerprint, **asked}
        self.described = self.questions.answers("describe", key, recipe.describe.batch)

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

    def views(self, shard: int) -> Iterator[Text]:
        """All that the captioner said of the pictures of a shard."""
        stored = self.described.read(shard, [row["image_id"] for row in self.rows(shard)])
        for image_id, contents in stored.items():
            for view, content in enumerate(() if is_failure(contents) else contents, start=1):
                yield Text(text_id(image_id, self.source, content), image_id, view, content)

    def descriptions(self, shard: int) -> list[Text]:
        """Of the views of a shard those that say something new of their picture."""
        texts: dict[str, Text] = {}
        for text in self.views(shard):
            texts.setdefault(text.text_id, text)
        return list(texts.values())

    def sources(self, shard: int) -> list[Text]:
        """Descriptions that pass their checks: these are translated."""
        texts = self.descriptions(shard)
        if shard not in self._good:
            self._good[shard] = [not found.problems for found in self.judgements(shard, self.source, texts)]
        return [text for text, good in zip(texts, self._good[shard], strict=True) if good]

    def texts(self, shard: int, lang: Language) -> list[Text]:
        """Descriptions or translations, whatever the checks say."""
        return self.descriptions(shard) if lang is self.source else self.translations(shard, lang)[0]

    def prompts(self, lang: Language) -> tuple[str, ...]:
        """What the model was told that gave the texts in a language."""
        return self.ask.prompts if lang is self.source else super().prompts(lang)
