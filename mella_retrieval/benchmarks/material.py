"""The material of a task: its gallery and captions from records, and vectors for them from embedding sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.protocols import Captions
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.data.records import COLUMNS, Records
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import DataError

Vectors = npt.NDArray[np.floating[Any]]


def load_evaluation(task: Task, records: Records, languages: Sequence[str] | None = None) -> EvaluationSet:
    """The gallery and captions of a task.

    Args:
        task: which rows of the records belong to it, and how many they must be.
        records: the test set. Every picture counts for the gallery, also one without a caption in some language.
        languages: which of the task's languages to measure; all by default.

    Raises:
        DataError: counts are not those that the task states, or a language is not one of the task's.
    """
    chosen = tuple(languages or task.languages)
    strange = [code for code in chosen if code not in task.languages]
    if strange:
        raise DataError(f"the task {task.name!r} has no language {', '.join(strange)}; it has {', '.join(task.languages)}.")
    extras = {column for name in task.breakdown for column in name.split("+")}
    table = records.table([*COLUMNS, *sorted(extras - set(COLUMNS))], where=task.where)
    images = {image_id: row for row, image_id in enumerate(dict.fromkeys(table["image_id"].to_pylist()))}
    texts = table.filter(pc.field("text") != "")
    parts = {code: texts.filter(pc.field("lang") == code) for code in chosen}
    task.check(len(images), {code: len(part) for code, part in parts.items()}, chosen)
    captions = {code: _captions(part, images, task.breakdown) for code, part in parts.items()}
    for name in task.breakdown:
        if not any(any(found.labels[name]) for found in captions.values()):
            raise DataError(f"there is nothing to break down by {name!r}: it is empty in all captions of {records.folder}.")
    return EvaluationSet(tuple(images), captions, task.gallery == "own")


def _captions(table: pa.Table, images: Mapping[str, int], breakdown: Sequence[str]) -> Captions:
    """The captions of one language, each with the values of the columns that the test set is broken down by."""
    return Captions(
        np.array([images[image_id] for image_id in table["image_id"].to_pylist()], np.int64),
        table["text"].to_pylist(),
        table["text_id"].to_pylist(),
        {name: _labels(table, name.split("+")) for name in breakdown},
    )


def _labels(table: pa.Table, columns: Sequence[str]) -> list[str]:
    """The values of some columns joined by `+`, "" where one is empty."""
    values = [["" if value is None else str(value) for value in table[name].to_pylist()] for name in columns]
    return ["+".join(row) if all(row) else "" for row in zip(*values, strict=True)]


def gallery_vectors(images: EmbeddingSet, evaluation: EvaluationSet) -> Vectors:
    """Image vectors (N, d) in the order of the gallery.

    Raises:
        DataError: a picture of the gallery has no vector: a test set never shrinks.
    """
    return _by_id(images, evaluation.image_ids, "pictures of the gallery", "image_id")


def caption_vectors(
    texts: EmbeddingSet, evaluation: EvaluationSet, languages: Sequence[str] | None = None
) -> Mapping[str, Vectors]:
    """Text vectors (M, d) per language, in the order of the captions.

    Raises:
        DataError: a caption has no vector.
    """
    return {
        code: _by_id(texts, evaluation.captions[code].text_id, f"captions in {code}", "text_id")
        for code in languages or evaluation.captions
    }


def truncated_shares(texts: EmbeddingSet) -> dict[str, float]:
    """Share of the embedded texts that the tower cut short, by language, as far as the set knows."""
    cut = texts.manifest.get("truncated", {})
    if not cut:
        return {}
    langs = texts.column("lang")
    return {lang: round(count / max(1, langs.count(lang)), 4) for lang, count in cut.items()}


def _by_id(found: EmbeddingSet, wanted: Sequence[str], what: str, column: str) -> Vectors:
    ids = found.column(column) if column in found.table.column_names else found.ids
    places = {key: row for row, key in enumerate(ids)}
    missing = [key for key in wanted if key not in places]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} {what} have no vector in {found.folder} (the first is {missing[0]!r}); "
            f"{found.folder / 'skipped.csv'} says why. A test set never shrinks: put what is missing there and embed again."
        )
    return found.vectors(np.array([places[key] for key in wanted], dtype=np.int64))
