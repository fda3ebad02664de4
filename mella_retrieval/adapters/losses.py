"""Losses on batches of vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE: row i of `a` and row i of `b` (both (n, d), L2-normalised) belong together, all others do not."""
    logits = a @ b.T / temperature
    target = torch.arange(len(a), device=a.device)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def matching(logits: Tensor, positive: Tensor) -> Tensor:
    """Symmetric cross-entropy of (n, m) logits; targets are spread evenly over the positives (n, m) of a row, or column."""
    return (_one_way(logits, positive) + _one_way(logits.T, positive.T)) / 2


def sigmoid(logits: Tensor, positive: Tensor) -> Tensor:
    """SigLIP's loss (arXiv 2303.15343): every cell of the (n, m) logits is a yes-or-no question of its own, summed per row."""
    signs = 2 * positive - 1
    return -functional.logsigmoid(signs * logits).sum(dim=1).mean()


def one_to_k(logits: Tensor, owner: Tensor) -> Tensor:
    """1-to-K (CCRK; methods.md, section 5): B images, K texts each, one per language.

    `1/2 [ -(1/K) sum_k log p_i2t(k) - (1/K) sum_k log p_t2i(k) ]` with p_i2t over all texts (its least value is log K) and p_t2i
    over the B images; where images have texts in different numbers of languages, each averages over its own.

    Args:
        logits: (R, B), texts in rows, images in columns.
        owner: (R,), the image of each text; every image has at least one.
    """
    images = logits.shape[1]
    positive = functional.one_hot(owner, images).to(logits.dtype)
    to_image = functional.cross_entropy(logits, owner, reduction="none")
    per_image = torch.zeros(images, device=logits.device, dtype=logits.dtype).index_add(0, owner, to_image)
    return (_one_way(logits.T, positive.T) + (per_image / positive.sum(dim=0)).mean()) / 2


def _one_way(logits: Tensor, positive: Tensor) -> Tensor:
    target = positive / positive.sum(dim=1, keepdim=True)
    return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
