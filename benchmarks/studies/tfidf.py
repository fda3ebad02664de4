"""The baseline without any tower for text: character n-grams and ridge regression, one model per language (scikit-learn)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.kernel_ridge import KernelRidge

Vectors = npt.NDArray[np.float32]
Part = tuple[Sequence[str], npt.NDArray[np.int64]]
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)


def fit_tfidf_ridge(train: Part, validation: Part, images: Vectors) -> Callable[[Sequence[str]], Vectors]:
    """Fit texts to the centred vectors of their pictures; the penalty with the best validation rank is kept.

    Args:
        train: texts and the row of each one's picture.
        validation: the same, for the choice of the penalty.
        images: (n, d) image vectors.

    Returns:
        A function from texts to (m, d) vectors for inner products with centred image vectors.
    """
    vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2)
    features = vectoriser.fit_transform(train[0])
    mean = images[np.unique(train[1])].mean(0)
    targets = images[train[1]] - mean
    # The dual form of ridge regression: thousands of texts and hundreds of targets are one solve, not one per target.
    models = [KernelRidge(alpha=penalty, kernel="linear").fit(features, targets) for penalty in PENALTIES]
    unseen = vectoriser.transform(validation[0])
    used, partner = np.unique(validation[1], return_inverse=True)
    gallery = _unit(images[used] - mean)
    best = max(models, key=lambda model: _mean_reciprocal_rank(_unit(model.predict(unseen)) @ gallery.T, partner))
    return lambda texts: np.asarray(best.predict(vectoriser.transform(texts)), np.float32)


def _unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _mean_reciprocal_rank(scores: npt.NDArray[np.floating], partner: npt.NDArray[np.int64]) -> float:
    own = scores[np.arange(len(scores)), partner]
    return float((1 / (scores >= own[:, None]).sum(1)).mean())
