"""What both trainings share: the contrastive loss, the optimiser and its schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def contrastive_loss(first: Tensor, second: Tensor, log_scale: Tensor) -> Tensor:
    """Symmetric InfoNCE of two (n, d) batches whose rows belong together, at the temperature exp(-log_scale)."""
    similarities = log_scale.exp() * functional.normalize(first, dim=-1) @ functional.normalize(second, dim=-1).T
    own = torch.arange(len(first))
    return (functional.cross_entropy(similarities, own) + functional.cross_entropy(similarities.T, own)) / 2


class Steps:
    """AdamW with a linear warm-up over a twentieth of the steps and a cosine decay to zero; weights only are decayed."""

    def __init__(self, parameters: Iterable[nn.Parameter], steps: int, rate: float, decay: float = 0.05) -> None:
        self._parameters = list(parameters)
        weights = [p for p in self._parameters if p.ndim > 1]
        others = [p for p in self._parameters if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
        self._optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
        warm = max(1, steps // 20)

        def factor(step: int) -> float:
            return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))

        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimiser, factor)

    def take(self, loss: Tensor) -> None:
        """One step down the gradient of `loss`."""
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._schedule.step()


def shuffled_batches(total: int, size: int, epochs: int, lot: np.random.Generator) -> Iterator[np.ndarray]:
    """Row numbers in batches of `size`, newly shuffled every epoch; the rest that fills no batch is left out."""
    for _ in range(epochs):
        order = lot.permutation(total)
        yield from (order[start : start + size] for start in range(0, total - size + 1, size))
