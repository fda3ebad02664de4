"""What the closed-form maps share: centred samples, candidates compared on held-out data, heads without an added mean.

Prediction is `norm((x - mu_x) W)` with no mean added back: the modality gap of CLIP-like models is mostly a mean offset, and a
query that carries the text mean lies away from the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from mella_retrieval.adapters.heads import Head, centred_map, centring
from mella_retrieval.adapters.inputs import English, Inputs, Pairs, Rows
from mella_retrieval.adapters.method import Fitted, MethodConfig
from mella_retrieval.adapters.moments import Matrix, Moments, mean, moments
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.selection import MEASURE, mean_reciprocal_rank
from mella_retrieval.embeddings.mapped import VectorRows
from mella_retrieval.errors import TrainingError

Data = Literal["auto", "english", "pairs", "both", "all"]
Gallery = Literal["untouched", "centred", "auto"]
Solve = Callable[[Moments], tuple[Head, Head]]
"""Moments -> text head and image head; the image head follows the one that the gallery has already."""

NEEDS = (
    frozenset({"pairs", "image_vectors", "english_text", "clip_text"}),
    frozenset({"pairs", "image_vectors"}),
    frozenset({"english_text", "clip_text"}),
)


class ClosedFormConfig(MethodConfig):
    """Options of every closed-form map.

    Attributes:
        data: fit on image-text pairs, on English text alone, or on both; `auto` takes pairs alone where there are any, `all`
            takes what there is.
        gallery: `untouched` leaves image vectors as they are (an existing index stays valid); `centred` subtracts the mean of the
            given image vectors (knowledge about a picture collection), after which vectors must be re-projected; `auto`
            centres where pictures are given.
        english_weight: how many times each English text counts beside one pair, where both are fitted on.
    """

    data: Data = "auto"
    gallery: Gallery = "untouched"
    english_weight: float = Field(default=1, gt=0)


@dataclass(frozen=True)
class _Samples:
    """Rows of one kind: pairs, or English texts in both text towers.

    Attributes:
        x, y: vectors of both sides.
        partner: row of y that belongs to each row of x.
        train, final: rows of x for comparing candidates, rows for the last fit.
        weight: of every sample.
        measure: held-out value of both heads, given the mean of y.
        on: what is held out, in words.
    """

    x: VectorRows
    y: VectorRows
    partner: Rows
    train: Rows
    final: Rows
    weight: float
    measure: Callable[[Head, Head, Matrix], float]
    on: str


def text_map(weight: Callable[[Moments], Matrix]) -> Solve:
    """A solution that maps the text side only: `norm((x - mu_x) W)`, W (d_x, d)."""
    return lambda found: (centred_map(found.x_mean, weight(found)), Head())


def fit_linear(inputs: Inputs, config: ClosedFormConfig, candidates: Mapping[str, Solve], run: Run) -> Fitted:
    """Fit each candidate on the training rows, keep the best on the held-out rows, fit that one again on all that may be used.

    Raises:
        TrainingError: the data that the configuration asks for, or an image collection's mean, is not at hand.
    """
    gallery = gallery_head(inputs, config.gallery)
    samples = _samples(inputs, config, gallery)
    judge = samples[0]
    found = _moments([(part, part.train) for part in samples])
    measured = {}
    for name, solve in candidates.items():
        measured[name] = judge.measure(*solve(found), found.y_mean)
        run.tell(len(measured), len(candidates))
    best = max(measured, key=lambda name: measured[name])
    text, image = candidates[best](_moments([(part, part.final) for part in samples]))
    selection = {"measure": MEASURE, "on": judge.on, "candidates": measured, "kept": best}
    return Fitted(text, Head((*gallery.layers, *image.layers)), selection)


def gallery_head(inputs: Inputs, gallery: Gallery) -> Head:
    """What is done to image vectors: nothing, or centring by the mean of the given pictures."""
    centred = gallery == "centred" or (gallery == "auto" and "image_vectors" in inputs.have)
    return centring(image_mean(inputs)) if centred else Head()


def image_mean(inputs: Inputs) -> Matrix:
    """Mean of the training pictures of the pairs, else of the given image vectors, shape (d,).

    Raises:
        TrainingError: no picture is at hand.
    """
    if inputs.pairs is not None:
        return mean(inputs.pairs.images, np.unique(inputs.pairs.image_rows[inputs.pairs.train]))
    if inputs.image_vectors is None:
        raise TrainingError("gallery=centred needs image_vectors: the mean of a picture collection (or use gallery=untouched).")
    return mean(inputs.image_vectors, np.arange(len(inputs.image_vectors)))


def held_out_value(samples: English | Pairs, text: Head, image: Head, y_mean: Matrix | None = None) -> float:
    """Mean reciprocal rank of held-out texts: text to image for pairs, text to text for English.

    English texts are compared with the image tower's own text vectors, centred by `y_mean` where the image side is untouched:
    the offset between texts and pictures plays no part there.
    """
    rows = samples.held_out
    if isinstance(samples, Pairs):
        used, partner = np.unique(samples.image_rows[rows], return_inverse=True)
        return mean_reciprocal_rank(
            text(samples.text[rows]), image(samples.images[used]), partner, [samples.langs[r] for r in rows]
        )
    targets = samples.clip_text[rows]
    gallery = image(targets - y_mean) if y_mean is not None else image(targets)
    return mean_reciprocal_rank(text(samples.text[rows]), gallery, np.arange(len(rows)))


def held_out_name(samples: English | Pairs) -> str:
    """What `held_out_value` is measured on, in words."""
    kind = "captions, text to image" if isinstance(samples, Pairs) else "English texts, text to text"
    return f"{len(samples.held_out)} held-out {kind}"


def _samples(inputs: Inputs, config: ClosedFormConfig, gallery: Head) -> list[_Samples]:
    """What the configuration asks for; pairs stand first, so that selection and the query's mean are theirs."""
    english, pairs, data = inputs.english, inputs.pairs, config.data
    if (data in ("english", "both") and english is None) or (data in ("pairs", "both") and pairs is None):
        raise TrainingError(f"data={data} was asked for, but only {', '.join(sorted(inputs.have))} are at hand.")
    samples = []
    if pairs is not None and data != "english":

        def among_images(text: Head, image: Head, _: Matrix, pairs: Pairs = pairs) -> float:
            return held_out_value(pairs, text, Head((*gallery.layers, *image.layers)))

        sides = (pairs.text, pairs.images, pairs.image_rows, pairs.train, pairs.final)
        samples.append(_Samples(*sides, 1.0, among_images, held_out_name(pairs)))
    if english is not None and (data in ("english", "both", "all") or not samples):

        def among_texts(text: Head, image: Head, y_mean: Matrix, english: English = english) -> float:
            return held_out_value(english, text, image, y_mean)

        rows = np.arange(len(english.text))
        weight = config.english_weight if samples else 1.0
        sides = (english.text, english.clip_text, rows, english.train, english.final)
        samples.append(_Samples(*sides, weight, among_texts, held_out_name(english)))
    return samples


def _moments(chosen: list[tuple[_Samples, Rows]]) -> Moments:
    """Each kind centred by its own means; the two means are those of the first kind."""
    first, *others = (moments(part.x, part.y, rows, part.partner[rows]).scaled(part.weight) for part, rows in chosen)
    return sum(others, first)
