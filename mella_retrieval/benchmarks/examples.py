"""The sheet of successes and failures: for each language a query that was answered at rank 1 and one that was not.

A failure is a query whose right answer is not at rank 1. It is drawn among those below rank 10; where there are none, among
all failures. Draws are at random, of languages too where there are many: nothing is chosen by hand.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mella_retrieval.benchmarks.evaluation import EvaluationSet, RankedQueries
from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.protocols import Captions, Selection, get_protocol
from mella_retrieval.benchmarks.report.sheet import (
    FAILURE,
    SUCCESS,
    Example,
    Examples,
    Hit,
    LanguageSheet,
    TextExample,
    TextHit,
)
from mella_retrieval.benchmarks.results import Result
from mella_retrieval.benchmarks.run import System
from mella_retrieval.benchmarks.similarity import UnitVectors
from mella_retrieval.data.images import read_image
from mella_retrieval.data.records import Records
from mella_retrieval.errors import DataError

THUMBNAIL = 144
LANGUAGES, PICTURES, TEXTS = 12, 5, 4

Doubles = NDArray[np.float64]


def collect_examples(
    result: Result, system: System, evaluation: EvaluationSet, records: Records, *, languages: int = LANGUAGES, seed: int = 0
) -> Examples | None:
    """Successes and failures of one system under the protocol of a result.

    Args:
        result: whose ranks say what was found and what was missed.
        system: whose vectors are searched; one of the result.
        evaluation: gallery and captions.
        records: where the picture files are.
        languages: how many are shown at most.
        seed: of every draw.

    Returns:
        The sheet; none where no picture of the gallery is at hand, or where classes and not captions were asked.
    """
    if result.record.task.kind == "classification":
        return None
    files = _picture_files(records, evaluation.image_ids)
    if not files:
        return None
    generator = np.random.default_rng(seed)
    ranks = {(c.language, c.direction): c for c in result.ranks if c.system == system.info.name and not c.subset}
    asked = [code for code in evaluation.captions if (code, TEXT_TO_IMAGE) in ranks and code in system.texts]
    shown = asked
    if len(asked) > languages:
        shown = [asked[row] for row in np.sort(generator.choice(len(asked), size=languages, replace=False))]
    sheets = [_Searched(code, result.record.protocol, system, evaluation, files).sheet(ranks, generator) for code in shown]
    return Examples(system.info.name, sheets, len(asked), seed) if sheets else None


@dataclass(frozen=True)
class _Searched:
    """One language of one system, asked again for a few queries."""

    language: str
    protocol: str
    system: System
    evaluation: EvaluationSet
    files: Mapping[str, Path]

    def sheet(self, ranks: Mapping[tuple[str, str], RankedQueries], generator: np.random.Generator) -> LanguageSheet:
        captions = self.evaluation.captions[self.language]
        selection = get_protocol(self.protocol).select(captions)
        drawn: dict[str, list[tuple[str, int] | None]] = {}
        shares = []
        for direction in (TEXT_TO_IMAGE, IMAGE_TO_TEXT):
            cell = ranks.get((self.language, direction))
            if cell is None:
                continue
            found, far = cell.rank == SUCCESS, cell.rank > FAILURE
            shares.append((direction, float(found.mean()), float(far.mean())))
            drawn[direction] = [_draw(cell, which, generator) for which in (found, far if far.any() else ~found)]
        texts = [one and self._text(*one, captions, selection) for one in drawn.get(TEXT_TO_IMAGE, [None, None])]
        images = [one and self._image(*one, captions, selection) for one in drawn.get(IMAGE_TO_TEXT, [None, None])]
        return LanguageSheet(self.language, texts[0], texts[1], images[0], images[1], tuple(shares))

    def _text(self, text_id: str, rank: int, captions: Captions, selection: Selection) -> Example:
        """A caption and the pictures found for it."""
        row = list(captions.text_id).index(text_id)
        place = int(np.flatnonzero(selection.captions == row)[0])
        right = np.zeros(len(self.evaluation.image_ids), bool)
        right[selection.image_index[selection.text_index == place]] = True
        scores = _scores(np.asarray(self.system.texts[self.language])[[row]], self.system.images)
        ids = self.evaluation.image_ids
        hits = [Hit(self._picture(ids[at]), ids[at], float(scores[at]), bool(right[at])) for at in _best(scores, right, PICTURES)]
        answers = np.flatnonzero(right)
        target = ids[int(answers[np.argmax(scores[answers])])]
        return Example(captions.text[row], hits, rank, self._picture(target), self._gloss(target))

    def _image(self, image_id: str, rank: int, captions: Captions, selection: Selection) -> TextExample:
        """A picture and the captions found for it."""
        own = self.system.reverse
        texts, images = (own.texts, own.images) if own else (self.system.texts, self.system.images)
        row = self.evaluation.image_ids.index(image_id)
        right = np.zeros(len(selection.captions), bool)
        right[selection.text_index[selection.image_index == row]] = True
        scores = _scores(np.asarray(images)[[row]], np.asarray(texts[self.language])[selection.captions])

        def text(place: int) -> str:
            return captions.text[int(selection.captions[place])]

        hits = [TextHit(text(at), float(scores[at]), bool(right[at])) for at in _best(scores, right, TEXTS)]
        answers = np.flatnonzero(right)
        target = text(int(answers[np.argmax(scores[answers])])) if len(answers) else ""
        return TextExample(self._picture(image_id), image_id, hits, rank, target, self._gloss(image_id))

    def _picture(self, image_id: str) -> bytes | None:
        """A thumbnail; none where the file is absent or damaged."""
        if image_id not in self.files:
            return None
        try:
            return thumbnail(self.files[image_id])
        except DataError:
            return None

    def _gloss(self, image_id: str) -> str:
        """The first English caption of a picture, where English is among the languages and not the one shown."""
        english = self.evaluation.captions.get("en")
        if english is None or self.language == "en":
            return ""
        row = self.evaluation.image_ids.index(image_id)
        return next((text for image, text in zip(english.image, english.text, strict=True) if image == row), "")


def _draw(cell: RankedQueries, which: NDArray[np.bool_], generator: np.random.Generator) -> tuple[str, int] | None:
    """The id and the rank of one of the queries, at random; none where there is none."""
    rows = np.flatnonzero(which)
    if not len(rows):
        return None
    row = int(generator.choice(rows))
    return cell.query_id[row], int(cell.rank[row])


def _scores(query: ArrayLike, gallery: ArrayLike) -> Doubles:
    """Scores (n,) of one query (1, d), in float64 as ranks are decided."""
    left, right = UnitVectors(query, "queries").values, UnitVectors(gallery, "vectors").values
    return np.asarray(right.astype(np.float64) @ left[0].astype(np.float64))


def _best(scores: Doubles, right: NDArray[np.bool_], k: int) -> list[int]:
    """The k best, ties counted against the right answers as in the ranks."""
    return [int(at) for at in np.lexsort((right, -scores))[:k]]


def _picture_files(records: Records, wanted: Sequence[str]) -> dict[str, Path]:
    """Local picture files of the gallery by image id; those that are not at hand are left out."""
    table: Any = records.images()
    needed, found = set(wanted), {}
    for image_id, image in zip(table["image_id"].to_pylist(), table["image"].to_pylist(), strict=True):
        if image_id not in needed:
            continue
        try:
            path = records.image_path(image)
        except DataError:
            continue
        if path.is_file():
            found[image_id] = path
    return found


def thumbnail(path: Path) -> bytes:
    """A small JPEG of a picture.

    Raises:
        DataError: the file is no readable picture.
    """
    image = read_image(path)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80, optimize=True)
    return content.getvalue()
