"""Scores between texts and enriched pictures or videos: global, best slot, and both together (methods.md section 6)."""

from __future__ import annotations

import numpy as np

from mella_retrieval.adapters.heads import Array
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.tokens import TokenReader
from mella_retrieval.errors import MismatchError

LOCAL_SHARE = 0.1
"""Share of the best slot in the published score of videos; pictures are scored by the global cosine alone."""

BLOCK = 1024


def local_scores(texts: Array, enriched: EmbeddingSet) -> Array:
    """(m, N) cosine of texts (m, d), L2-normalised, with the best slot of each picture of an enriched set.

    The set's slots are read in blocks.

    Raises:
        ArtifactError: the set has no local vectors.
        MismatchError: vectors of another dimension.
    """
    reader = TokenReader(enriched)
    _require_dim(texts, reader.dim, enriched)
    scores = np.full((len(texts), len(enriched)), -np.inf, np.float32)
    for start in range(0, len(enriched), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(enriched)))
        slots = reader.rows(rows)
        owner = np.repeat(np.arange(len(rows)), [len(part) for part in slots])
        every = texts @ np.concatenate(slots).T
        first = np.searchsorted(owner, np.arange(len(rows)))
        scores[:, rows] = np.maximum.reduceat(every, first, axis=1)
    return scores


def global_scores(texts: Array, enriched: EmbeddingSet) -> Array:
    """(m, N) cosine of texts (m, d), L2-normalised, with the global vectors of an enriched set."""
    _require_dim(texts, enriched.dim, enriched)
    return np.concatenate([texts @ block.T for _, block in enriched.blocks(BLOCK)], axis=1)


def video_scores(texts: Array, enriched: EmbeddingSet, local_share: float = LOCAL_SHARE) -> Array:
    """(m, N) `.9 global + .1 best slot`, each scaled to 0 ... 1 over the gallery of its query.

    Scaling query by query, rather than over all queries of a test, keeps a query's ranking free of what else is asked.
    """
    wide, narrow = scaled(global_scores(texts, enriched)), scaled(local_scores(texts, enriched))
    return (1 - local_share) * wide + local_share * narrow


def scaled(scores: Array) -> Array:
    """Each row of (m, N) from 0 (its lowest) to 1 (its highest); a row of equal scores becomes 0."""
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    return np.asarray((scores - low) / np.where(high > low, high - low, 1))


def _require_dim(texts: Array, dim: int, enriched: EmbeddingSet) -> None:
    if texts.ndim != 2 or texts.shape[1] != dim:
        raise MismatchError(
            f"texts of shape {texts.shape} cannot be compared with vectors of {dim} dimensions in {enriched.folder}."
        )
