"""Mean and spread of every feature over many tokens, read in blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mella_retrieval.adapters.leccr.scene_batches import BLOCK
from mella_retrieval.adapters.leccr.scenes import Rows, Scenes
from mella_retrieval.embeddings.sets import Vectors
from mella_retrieval.embeddings.tokens import Mask

Statistics = tuple[Tensor, Tensor]


def picture_statistics(scenes: Scenes, rows: Rows) -> Statistics:
    """Mean and standard deviation (d,) over the tokens of some pictures."""
    return _over_blocks(scenes.image_tokens, rows, scenes.images.dim)


def description_statistics(scenes: Scenes, rows: Rows) -> Statistics:
    """Mean and standard deviation (d,) over the tokens of the pictures' descriptions."""
    return _over_blocks(scenes.description_tokens, rows, scenes.descriptions.dim)


def sentence_statistics(scenes: Scenes, rows: Rows) -> Statistics:
    """Mean and standard deviation (d,) over the pooled vectors of the pictures' descriptions."""
    return _over_blocks(scenes.sentences, rows, scenes.descriptions.source.dim)


def _over_blocks(read: Callable[[Rows], tuple[Vectors, Mask]], rows: Rows, dim: int) -> Statistics:
    count, total, squares = 0, np.zeros(dim), np.zeros(dim)
    for start in range(0, len(rows), BLOCK):
        padded, mask = read(rows[start : start + BLOCK])
        tokens = padded[mask].astype(np.float64)
        count, total, squares = count + len(tokens), total + tokens.sum(0), squares + (tokens**2).sum(0)
    mean = total / max(count, 1)
    variance = np.maximum(squares / max(count, 1) - mean**2, 0)
    return torch.from_numpy(mean).float(), torch.from_numpy(np.sqrt(variance)).float()
