"""Hubness correction folded into the heads: an index built with such an adapter needs nothing else.

A hub is an item that lies near many queries and so stands in front of the right answer. NNN and CSLS take from each score the
mean similarity of the item to its nearest reference queries (methods.md, section 7). This is a bias per item, and biases of both
sides fold into unit vectors: with `w` the bound of |b|,

    text  q -> [q, 1, b_q, sqrt(w^2 - b_q^2), 0] / sqrt(2 + w^2)
    image v -> [v, b_v, 1, 0, sqrt(w^2 - b_v^2)] / sqrt(2 + w^2)

have the inner product `(q v + b_v + b_q) / (2 + w^2)`: text -> image ranks by `q v + b_v`, image -> text by `q v + b_q`.

The banks are vectors that training has seen (inductive); no gallery and no test query is looked at. Zeros pad the width to a
multiple of 16, which product quantisers like.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mella_retrieval.adapters.heads import Array, Head, HubBias
from mella_retrieval.adapters.hubness_config import HubnessConfig
from mella_retrieval.adapters.inputs import Inputs, Rows
from mella_retrieval.adapters.method import Fitted
from mella_retrieval.embeddings.mapped import VectorRows
from mella_retrieval.errors import TrainingError


def fold_hubness(fitted: Fitted, inputs: Inputs, config: HubnessConfig) -> Fitted:
    """The same heads, followed by the correction.

    The bank of texts are the sources' `queries`, else the training texts of the pairs, else the English texts; the bank of
    pictures are the training pictures of the pairs, else the given image vectors.

    Raises:
        TrainingError: there are no texts, or the method enriches its pictures with slots.
    """
    if fitted.slots:
        raise TrainingError("hubness correction is folded into pooled vectors; this method enriches them with slots.")
    generator = np.random.default_rng(inputs.seed)
    texts = fitted.text_head(_draw(*_texts(inputs), config.bank, generator))
    pictures = _pictures(inputs) if config.texts else None
    images = (
        fitted.image_head(_draw(*pictures, config.bank, generator)) if pictures else np.empty((0, texts.shape[1]), np.float32)
    )
    settings = np.array([config.weight, config.neighbours], np.float32)
    text = HubBias(images, settings, np.array([0], np.float32))
    image = HubBias(texts, settings, np.array([1], np.float32))
    note = {"weight": config.weight, "neighbours": config.neighbours, "bank texts": len(texts), "bank images": len(images)}
    return replace(
        fitted,
        text_head=Head((*fitted.text_head.layers, text)),
        image_head=Head((*fitted.image_head.layers, image)),
        selection={**fitted.selection, "hubness": note},
    )


def _texts(inputs: Inputs) -> tuple[VectorRows, Rows]:
    if inputs.queries is not None:
        return inputs.queries, np.arange(len(inputs.queries))
    if inputs.pairs is not None:
        return inputs.pairs.text, inputs.pairs.train
    if inputs.english is not None:
        return inputs.english.text, inputs.english.final
    raise TrainingError("hubness correction needs texts like those that will be asked: name them as queries.")


def _pictures(inputs: Inputs) -> tuple[VectorRows, Rows] | None:
    if inputs.pairs is not None:
        return inputs.pairs.images, np.unique(inputs.pairs.image_rows[inputs.pairs.train])
    if inputs.image_vectors is not None:
        return inputs.image_vectors, np.arange(len(inputs.image_vectors))
    return None


def _draw(vectors: VectorRows, rows: Rows, most: int, generator: np.random.Generator) -> Array:
    """At most `most` of the rows, in their order."""
    if len(rows) > most:
        rows = np.sort(generator.choice(rows, most, replace=False))
    return vectors[rows]
