"""Whether a translation says what its source says, by a multilingual text tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mella_retrieval.artifacts import library_versions
from mella_retrieval.data.ling.checks.check import Check, Judged, Scores, Tools
from mella_retrieval.data.sentences import split_sentences
from mella_retrieval.encoders.batching import find_batch_size
from mella_retrieval.encoders.towers import Float32, TextTower

_FEWEST = 3  # of a part of a text that a tower cannot read whole


class Agreement(Check):
    """A translation lies near its source in the space of a text tower that reads both languages.

    The score is the ratio margin of Artetxe and Schwenk (2019): the cosine of the two, divided by the mean cosine of each with
    its nearest texts on the other side, among the texts of the shard in these languages. A cosine alone means another thing for
    every tower, pair of languages and kind of text; of the margin 1 always means "as near as the nearest are". Before that the
    mean of each side is taken away: vectors of long texts are averages that lie close together, and all of one language too.

    Texts that a tower would cut are read in parts (sentences, or halves of them), whose vectors are added.

    Attributes:
        margin: below it a translation is rejected.
        neighbours: nearest texts on the other side.
        fewest: with fewer texts in a shard there is nothing to compare with: they pass, with their cosine as the only score.
    """

    name: ClassVar[str] = "agreement"
    stored: ClassVar[bool] = True
    needs_source: ClassVar[bool] = True
    together: ClassVar[bool] = True
    margin: float = Field(default=0.7, gt=0)
    neighbours: int = Field(default=4, ge=1)
    fewest: int = Field(default=20, ge=2)

    def key(self, tools: Tools) -> Any:
        """See `Check`."""
        tower = tools.tower.info.fingerprint() if tools.tower else ""
        return {"tower": tower, "neighbours": self.neighbours, "fewest": self.fewest, **library_versions()}

    def missing(self, tools: Tools) -> str:
        """See `Check`."""
        return "" if tools.tower else "no text tower was given (--tower)"

    def measure(self, texts: Sequence[Judged], tools: Tools) -> list[dict[str, float]]:
        """`cosine` and, among enough texts, `agreement`: the margin."""
        if tools.tower is None or not texts:
            return [{} for _ in texts]
        own = encode(tools.tower, [(text.text, text.lang.code) for text in texts], tools.batch)
        sources = [(text.source, text.source_lang.code if text.source_lang else "") for text in texts]
        source = encode(tools.tower, sources, tools.batch)
        scores: list[dict[str, float]] = [{"cosine": float(cosine)} for cosine in _cosines(own, source)]
        if len(texts) >= self.fewest:
            for row, margin in zip(scores, margins(_centred(own), _centred(source), self.neighbours), strict=True):
                row["agreement"] = float(margin)
        return scores

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        found = scores.get("agreement")
        if found is None or found >= self.margin:
            return ""
        return f"{found:.2f} times as near to its source as to other texts"


def margins(own: Float32, source: Float32, neighbours: int) -> npt.NDArray[np.float64]:
    """Ratio margin of each row of one side with the same row of the other: shapes (n, d), (n, d) -> (n,)."""
    usual = (nearest(own, source, neighbours) + nearest(source, own, neighbours)) / 2
    return np.asarray(_cosines(own, source) / np.maximum(usual, 1e-6), np.float64)


def _cosines(first: Float32, second: Float32) -> npt.NDArray[np.float32]:
    rows: npt.NDArray[np.float32] = np.einsum("ij,ij->i", first, second)
    return rows


def _centred(vectors: Float32) -> Float32:
    return _unit(vectors - vectors.mean(axis=0))


def _unit(vectors: Float32) -> Float32:
    """Rows of unit length; zero rows stay."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    unit: Float32 = (vectors / lengths).astype(np.float32)
    return unit


def nearest(queries: Float32, others: Float32, neighbours: int, block: int = 1024) -> npt.NDArray[np.float32]:
    """Mean cosine of each query (n, d) with its nearest of the others (m, d): shape (n,)."""
    kept = min(neighbours, len(others))
    means = []
    for start in range(0, len(queries), block):
        similar = queries[start : start + block] @ others.T
        means.append(np.partition(similar, len(others) - kept, axis=1)[:, len(others) - kept :].mean(axis=1))
    return np.concatenate(means).astype(np.float32)


def encode(tower: TextTower, texts: Sequence[tuple[str, str]], batch: int) -> Float32:
    """Unit vectors (n, d) of texts given as (text, language); what a tower would cut is read in parts.

    Raises:
        EncoderError: the tower fails.
    """
    parts = readable_parts(tower, texts)
    owners = [row for row, _, _ in parts]
    vectors = np.zeros((len(texts), tower.info.dim), np.float32)
    done = 0
    while done < len(parts):
        found: list[Float32] = []

        def run(size: int, start: int = done, found: list[Float32] = found) -> None:
            _, some, langs = zip(*parts[start : start + size], strict=True)
            found[:] = [tower.encode(some, langs).pooled]

        batch = find_batch_size(run, batch)
        np.add.at(vectors, owners[done : done + len(found[0])], found[0])
        done += len(found[0])
    return _unit(vectors)


def readable_parts(tower: TextTower, texts: Sequence[tuple[str, str]]) -> list[tuple[int, str, str]]:
    """(row, part, language) of each part that a tower reads whole, sorted by row; none of what its preparation leaves empty."""
    done: list[tuple[int, str, str]] = []
    waiting = [(row, text, lang) for row, (text, lang) in enumerate(texts) if tower.prepare(text, lang)]
    while waiting:
        counts = tower.count_tokens([text for _, text, _ in waiting])
        longer = []
        for (row, text, lang), count in zip(waiting, counts, strict=True):
            if count <= tower.max_tokens or len(text) <= _FEWEST:
                done.append((row, text, lang))
                continue
            sentences = split_sentences(text)
            for part in sentences if len(sentences) > 1 else _halves(text):
                if tower.prepare(part, lang):
                    longer.append((row, part, lang))
        waiting = longer
    return sorted(done, key=lambda part: part[0])


def _halves(text: str) -> tuple[str, str]:
    """Two parts, divided at the space next to the middle, or in the middle where there is none."""
    middle = len(text) // 2
    spaces = [place for place in (text.rfind(" ", 1, middle), text.find(" ", middle, -1)) if place > 0]
    place = min(spaces, key=lambda found: abs(found - middle), default=middle)
    return text[:place], text[place:]
