"""Systems with a hubness correction folded into their vectors, one direction at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mella_retrieval.benchmarks.evaluation import Reverse
from mella_retrieval.benchmarks.run import System
from mella_retrieval.indexes.scoring.bias import fold_unit_items, fold_unit_queries
from mella_retrieval.indexes.scoring.rescoring import Rescoring

Array = npt.NDArray[np.float32]
ByLanguage = Mapping[str, Rescoring]


@dataclass(frozen=True)
class Side:
    """Mapped test vectors: texts by language (M, d) and pictures (N, d)."""

    texts: Mapping[str, Array]
    images: Array


def rescored(system: System, side: Side, to_images: ByLanguage, to_texts: ByLanguage) -> System:
    """The system with corrected scores in both directions.

    Every language has an entry of its own behind the vectors, so that one gallery of pictures serves queries of all languages,
    and one set of picture queries all galleries of texts; a query that QB-Norm's gate leaves alone has the weight 0.

    Args:
        system: what to describe the result by.
        side: its vectors.
        to_images: for queries of each language the correction of the pictures.
        to_texts: for each language the correction of its texts.
    """
    languages = list(side.texts)
    pictures = fold_unit_items(side.images, np.stack([to_images[code].bias for code in languages], axis=1)).vectors
    queries, galleries = {}, {}
    asked = np.zeros((len(side.images), len(languages)), np.float32)
    for column, code in enumerate(languages):
        texts = side.texts[code]
        scores = texts @ side.images.T
        weights, biases = (np.zeros((len(texts), len(languages)), np.float32) for _ in range(2))
        weights[:, column] = to_images[code].weights(scores.argmax(axis=1))
        biases[:, column] = to_texts[code].bias
        queries[code], galleries[code] = fold_unit_queries(texts, weights), fold_unit_items(texts, biases).vectors
        asked[:, column] = to_texts[code].weights(scores.T.argmax(axis=1))
    reverse = Reverse(galleries, fold_unit_queries(side.images, asked))
    return replace(system, texts=queries, images=pictures, reverse=reverse)
