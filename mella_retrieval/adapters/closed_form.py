"""What the closed-form maps share: centred samples, candidates compared on held-out data, heads without an added mean.

Prediction is `norm((x - mu_x) W)` with no mean added back: the modality gap of CLIP-like models is mostly a mean offset, and a
query that carries the text mean lies away from the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mella_retrieval.adapters.heads import Array, Head, centred_map, centring
from mella_retrieval.adapters.inputs import English, Inputs, Pairs, Rows
from mella_retrieval.adapters.method import Fitted, MethodConfig, Progress
from mella_retrieval.adapters.selection import MEASURE, mean_reciprocal_rank
from mella_retrieval.errors import TrainingError

Matrix = npt.NDArray[np.float64]
Solve = Callable[[Matrix, Matrix], Matrix]
"""Centred X (n, d_x), centred Y (n, d) -> W (d_x, d)."""

NEEDS = (
    frozenset({"pairs", "image_vectors", "english_text", "clip_text"}),
    frozenset({"pairs", "image_vectors"}),
    frozenset({"english_text", "clip_text"}),
)


class ClosedFormConfig(MethodConfig):
    """Options of every closed-form map.

    Attributes:
        data: fit on image-text pairs, on English text alone, or on both; `auto` takes pairs alone where there are any.
        gallery: `untouched` leaves image vectors as they are (an existing index stays valid); `centred` subtracts the mean of the
            given image vectors (knowledge about a picture collection), after which vectors must be re-projected.
    """

    data: Literal["auto", "english", "pairs", "both"] = "auto"
    gallery: Literal["untouched", "centred"] = "untouched"


@dataclass(frozen=True)
class _Samples:
    """Rows of one kind (pairs, or English texts in both text towers), centred by their own means.

    Attributes:
        x, y: (n, d_x) and (n, d), both sides.
        train, final: rows for comparing candidates, rows for the last fit.
        measure: held-out value of a text head, given the mean of y.
        on: what is held out, in words.
    """

    x: Array
    y: Array
    train: Rows
    final: Rows
    measure: Callable[[Head, Matrix], float]
    on: str


def fit_linear(
    inputs: Inputs, config: ClosedFormConfig, candidates: Mapping[str, Solve], progress: Progress | None = None
) -> Fitted:
    """Fit each candidate on the training rows, keep the best on the held-out rows, fit that one again on all that may be used.

    Raises:
        TrainingError: the data that the configuration asks for, or an image collection's mean, is not at hand.
    """
    image_head = centring(_image_mean(inputs)) if config.gallery == "centred" else Head()
    samples = _samples(inputs, config.data, image_head)
    judge = samples[0]
    x, y, x_mean, y_mean = _centred([(part, part.train) for part in samples])
    measured = {}
    for name, solve in candidates.items():
        measured[name] = judge.measure(centred_map(x_mean, solve(x, y)), y_mean)
        if progress:
            progress(len(measured), len(candidates))
    best = max(measured, key=lambda name: measured[name])
    x, y, x_mean, _ = _centred([(part, part.final) for part in samples])
    selection = {"measure": MEASURE, "on": judge.on, "candidates": measured, "kept": best}
    return Fitted(centred_map(x_mean, candidates[best](x, y)), image_head, selection)


def _samples(inputs: Inputs, data: str, image_head: Head) -> list[_Samples]:
    """What the configuration asks for; pairs stand first, so that selection and the query's mean are theirs."""
    english, pairs = inputs.english, inputs.pairs
    if (data in ("english", "both") and english is None) or (data in ("pairs", "both") and pairs is None):
        raise TrainingError(f"data={data} was asked for, but only {', '.join(sorted(inputs.have))} are at hand.")
    samples = []
    if pairs is not None and data != "english":
        samples.append(_paired(pairs, image_head))
    if english is not None and (data in ("english", "both") or not samples):
        samples.append(_english(english))
    return samples


def _paired(pairs: Pairs, image_head: Head) -> _Samples:
    rows = pairs.held_out
    used, partner = np.unique(pairs.image_rows[rows], return_inverse=True)
    gallery, langs = image_head(pairs.images[used]), [pairs.langs[row] for row in rows]

    def measure(head: Head, _: Matrix) -> float:
        return mean_reciprocal_rank(head(pairs.text[rows]), gallery, partner, langs)

    on = f"{len(rows)} held-out captions, text to image"
    return _Samples(pairs.text, pairs.images[pairs.image_rows], pairs.train, pairs.final, measure, on)


def _english(english: English) -> _Samples:
    rows = english.held_out

    def measure(head: Head, y_mean: Matrix) -> float:
        gallery = centring(y_mean)(english.clip_text[rows])  # text to text: the offset to pictures plays no part
        return mean_reciprocal_rank(head(english.text[rows]), gallery, np.arange(len(rows)))

    on = f"{len(rows)} held-out English texts, text to text"
    return _Samples(english.text, english.clip_text, english.train, english.final, measure, on)


def _centred(chosen: list[tuple[_Samples, Rows]]) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Both sides, each kind centred by its own means; and the two means of the first kind."""
    xs = [part.x[rows].astype(np.float64) for part, rows in chosen]
    ys = [part.y[rows].astype(np.float64) for part, rows in chosen]
    x, y = (np.concatenate([side - side.mean(0) for side in sides]) for sides in (xs, ys))
    return x, y, xs[0].mean(0), ys[0].mean(0)


def _image_mean(inputs: Inputs) -> Matrix:
    if inputs.pairs is not None:
        images = inputs.pairs.images[np.unique(inputs.pairs.image_rows[inputs.pairs.train])]
    elif inputs.image_vectors is not None:
        images = inputs.image_vectors
    else:
        raise TrainingError("gallery=centred needs image_vectors: the mean of a picture collection (or use gallery=untouched).")
    return np.asarray(images.mean(0, dtype=np.float64))
