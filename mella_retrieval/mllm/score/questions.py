"""What is asked: of each language and kind of text the pictures that have references, with one question each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from mella_retrieval import languages
from mella_retrieval.artifacts import fingerprint
from mella_retrieval.data.language_id import LanguageIdentifier
from mella_retrieval.data.records import Records, Rejected, Where
from mella_retrieval.data.text import excerpt
from mella_retrieval.errors import DataError
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.score.language_rate import References, check_references
from mella_retrieval.mllm.score.recipe import ScoreRecipe


@dataclass(frozen=True)
class Pictured:
    """A picture with what people wrote of it.

    Attributes:
        image: as records have it.
        texts: references.
        prompt: its question; "" where nobody is asked.
    """

    image_id: str
    image: str
    texts: tuple[str, ...]
    prompt: str


@dataclass(frozen=True)
class QuestionSet:
    """The questions of one kind of text (`know`, `ling`) in one language.

    Attributes:
        kind, lang: of the references, and of the answers that are wanted.
        pictures: in stored order.
        references: what the identifier says of all references; None where it was not asked.
    """

    kind: str
    lang: str
    pictures: tuple[Pictured, ...]
    references: References | None = None

    @property
    def name(self) -> str:
        """As tables call it."""
        return f"{self.kind} {self.lang}"

    @property
    def identity(self) -> str:
        """Hash of the questions and their pictures' names."""
        return fingerprint([[one.image_id, one.prompt] for one in self.pictures])


@dataclass
class Questions:
    """All sets, and the records that are in none.

    Attributes:
        sets: kinds and languages, sorted.
        passed: reason -> records passed over.
        rejected: references in another language, to be listed.
    """

    sets: list[QuestionSet]
    passed: Counter[str] = field(default_factory=Counter)
    rejected: list[Rejected] = field(default_factory=list)


def find_questions(
    records: Records,
    recipe: ScoreRecipe,
    prompts: Prompts | None,
    identifier: LanguageIdentifier | None,
    where: Where | None = None,
) -> Questions:
    """The questions that records ask for.

    Args:
        records: rows with a text are references.
        recipe: sources, limit and seed.
        prompts: templates; None where nobody is asked.
        identifier: of the languages of references; None leaves them unchecked.
        where: keep only rows with the given column values.

    Raises:
        ConfigError: no template in a language. DataError: nothing to ask, or references that are mostly in another language.
    """
    questions = Questions([])
    for (kind, lang), rows in sorted(_grouped(records, recipe, questions, where).items()):
        if prompts:
            prompts.of(lang, kind)
        said_of = f"the references of {kind} in {records.folder}"
        found = check_references([row["text"] for row in rows], lang, said_of, identifier) if identifier else None
        right = list(_right(rows, found, lang, questions)) if found else rows
        if pictures := tuple(_drawn(_pictures(right, kind, lang, recipe, prompts), recipe, f"{kind} {lang}")):
            questions.sets.append(QuestionSet(kind, lang, pictures, found))
    if not questions.sets:
        why = "; ".join(f"{count:,} {reason}" for reason, count in questions.passed.items())
        raise DataError(f"{records.folder} has no text to score answers against{f' ({why})' if why else ''}.")
    return questions


def _grouped(
    records: Records, recipe: ScoreRecipe, questions: Questions, where: Where | None
) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
    """Rows by kind and language."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for batch in records.batches(columns=["image_id", "image", "text", "lang", "source", "text_id"], where=where):
        for row in batch.to_pylist():
            kind = recipe.sources.get(row["source"])
            if not row["text"]:
                questions.passed["records without a text"] += 1
            elif not row["image"]:
                questions.passed["records without a picture"] += 1
            elif kind is None:
                questions.passed[_unnamed(row["source"])] += 1
            else:
                groups[kind, row["lang"]].append(row)
    return groups


def _unnamed(source: str) -> str:
    """Why records of a source are passed over, and what to do."""
    if not source:
        return "records without a source: say at import what their texts are (`mella data import ... source=know`)"
    return f"records of source {source!r}, which the recipe does not name: say sources.{source}=know, or ling"


def _right(rows: list[dict[str, Any]], found: References, lang: str, questions: Questions) -> Iterator[dict[str, Any]]:
    """Rows whose text is not surely in another language; the others are counted and listed."""
    for row, good in zip(rows, found.good, strict=True):
        if good:
            yield row
            continue
        questions.passed["references that are surely in another language"] += 1
        reason = f"reference in another language: not {languages.get(lang).name}"
        questions.rejected.append(Rejected(row["text_id"], reason, excerpt(row["text"])))


def _pictures(rows: list[dict[str, Any]], kind: str, lang: str, recipe: ScoreRecipe, prompts: Prompts | None) -> list[Pictured]:
    texts: dict[str, list[str]] = defaultdict(list)
    images: dict[str, str] = {}
    for row in rows:
        texts[row["image_id"]].append(row["text"])
        images.setdefault(row["image_id"], row["image"])
    return [
        Pictured(
            image_id,
            image,
            tuple(dict.fromkeys(texts[image_id])),
            prompts.choose(lang, kind, image_id, recipe.seed) if prompts else "",
        )
        for image_id, image in images.items()
    ]


def _drawn(pictures: list[Pictured], recipe: ScoreRecipe, name: str) -> list[Pictured]:
    """At most as many pictures as the recipe says, drawn with its seed, in stored order."""
    if recipe.limit is None or len(pictures) <= recipe.limit:
        return pictures
    kept = sorted(Random(f"{recipe.seed} {name}").sample(range(len(pictures)), recipe.limit))
    return [pictures[place] for place in kept]
