"""Mean Rank Variance: how differently the languages of one image rank it.

For every image that all the languages have captions of, the variance over the languages of its rank; the mean over
these images. Lower is more consistent; a system that is always right or always equally wrong has none. Where an image has
several captions in a language, their mean rank stands for it.

Source: Li et al., "Improving the Consistency in Cross-Lingual Cross-Modal Retrieval with 1-to-K Contrastive Learning"
(KDD 2024), which has one caption per image and language.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.benchmarks.chance import rank_distribution
from mella_retrieval.benchmarks.evaluation import EvaluationSet, RankedQueries, relevant_counts
from mella_retrieval.benchmarks.metrics import TEXT_TO_IMAGE
from mella_retrieval.benchmarks.protocols import Protocol
from mella_retrieval.benchmarks.statistics import Bootstrap, resampled_means

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


def ranks_per_image(cells: Sequence[RankedQueries]) -> tuple[list[str], Doubles]:
    """Mean rank of each image in each language.

    Args:
        cells: one system and direction, L languages.

    Returns:
        The images (n) that all languages have queries of, sorted, and their ranks (n, L).
    """
    common = sorted(set.intersection(*(set(cell.image_id) for cell in cells)))
    rows = {image: row for row, image in enumerate(common)}
    columns = []
    for cell in cells:
        at = np.array([rows.get(image, -1) for image in cell.image_id], np.int64)
        inside = at >= 0
        counts = np.bincount(at[inside], minlength=len(common))
        columns.append(np.bincount(at[inside], weights=cell.rank[inside], minlength=len(common)) / np.maximum(counts, 1))
    return common, np.stack(columns, axis=1)


def variance_of(cells: Sequence[RankedQueries], settings: Bootstrap) -> tuple[float | None, Doubles | None]:
    """The Mean Rank Variance of one system and direction, and its bootstrap draws; None where no image has all languages."""
    images, ranks = ranks_per_image(cells)
    if not images:
        return None, None
    variances = ranks.var(axis=1)
    return float(variances.mean()), resampled_means(variances[:, None], settings)[:, 0]


def chance_variance(evaluation: EvaluationSet, languages: Sequence[str], direction: str, protocol: Protocol) -> float | None:
    """What random orders, independent of each other, are expected to get; None where no image has all languages."""
    moments = [_moments(evaluation, code, direction, protocol) for code in languages]
    common = np.logical_and.reduce([asked for asked, _, _ in moments])
    if not common.any():
        return None
    means = np.stack([mean[common] for _, mean, _ in moments])
    variances = np.stack([variance[common] for _, _, variance in moments])
    # of independent values with these moments, the expected variance around their own mean
    expected = variances.mean(axis=0) * (1 - 1 / len(moments)) + means.var(axis=0)
    return float(expected.mean())


def _moments(
    evaluation: EvaluationSet, language: str, direction: str, protocol: Protocol
) -> tuple[NDArray[np.bool_], Doubles, Doubles]:
    """Per image of the gallery: whether it is asked, and mean and variance of the mean of its queries' random ranks."""
    captions, images = evaluation.captions[language], len(evaluation.image_ids)
    asked = protocol.select(captions)
    relevant, galleries = relevant_counts(evaluation, language, protocol)[""][direction]
    by_text = direction == TEXT_TO_IMAGE
    owner = np.asarray(captions.image, np.int64)[asked.captions] if by_text else np.unique(asked.image_index)
    kinds, which = np.unique(np.stack([relevant, galleries]), axis=1, return_inverse=True)
    found = np.array([_mean_and_variance(int(r), int(n)) for r, n in kinds.T])[which.ravel()]
    queries = np.bincount(owner, minlength=images)
    safe = np.maximum(queries, 1)
    mean = np.bincount(owner, weights=found[:, 0], minlength=images) / safe
    variance = np.bincount(owner, weights=found[:, 1], minlength=images) / safe**2
    return queries > 0, mean, variance


def _mean_and_variance(relevant: int, gallery: int) -> tuple[float, float]:
    chances, ranks = rank_distribution(relevant, gallery), np.arange(1, gallery + 1)
    mean = float(chances @ ranks)
    return mean, float(chances @ (ranks - mean) ** 2)
