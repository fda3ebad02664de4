"""Gradient fitting of small heads on stored vectors: seeded, validated every epoch, the best state kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mella_retrieval.adapters.method import MethodConfig, Progress
from mella_retrieval.artifacts import Json
from mella_retrieval.errors import TrainingError

COLLAPSED = 0.99
"""Mean pairwise cosine of the outputs above which everything has become one point."""


class FitConfig(MethodConfig):
    """Options of every gradient fit.

    Attributes:
        epochs: passes over the training rows.
        batch_size: rows per step (BatchNorm needs two); a last smaller batch is left out.
        learning_rate: of AdamW at the first step; it falls linearly to zero.
        weight_decay: of AdamW.
    """

    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)


def fit(
    module: nn.Module,
    loss: Callable[[Tensor], Tensor],
    measure: Callable[[], float],
    rows: int,
    config: FitConfig,
    generator: torch.Generator,
    progress: Progress | None = None,
) -> Json:
    """Train `module` in place and leave it in evaluation mode with the weights of its best epoch.

    Args:
        module: what is trained.
        loss: loss of the training rows with the given indices (b,).
        measure: the held-out value, higher is better; called in evaluation mode.
        rows: how many training rows there are.
        config: epochs, batch size and so on.
        generator: draws the order of rows.
        progress: called with (epochs done, epochs).

    Returns:
        The held-out value of each epoch and which one was kept.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    batch = min(config.batch_size, rows)
    optimiser = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = config.epochs * (rows // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    history: list[float] = []
    best: dict[str, Any] = {}
    kept = 0
    for epoch in range(config.epochs):
        module.train()
        for chosen in _batches(rows, batch, generator):
            value = loss(chosen)
            if not math.isfinite(value.item()):
                raise TrainingError(f"the loss became {value.item()} in epoch {epoch + 1}; lower learning_rate.")
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        module.eval()
        with torch.no_grad():
            history.append(measure())
        if history[-1] >= history[kept]:  # of equal epochs the last
            best, kept = copy.deepcopy(module.state_dict()), epoch
        if progress:
            progress(epoch + 1, config.epochs)
    module.load_state_dict(best)
    return {"per_epoch": history, "kept_epoch": kept + 1, "steps": steps}


def require_spread(outputs: Tensor) -> None:
    """Refuse a head whose outputs (n, d), L2-normalised, are all but one point.

    Raises:
        TrainingError: the mean pairwise cosine is above .99, or not a number.
    """
    n = len(outputs)
    mean_cosine = ((outputs.sum(0) ** 2).sum().item() - n) / (n * (n - 1))
    if not mean_cosine <= COLLAPSED:
        raise TrainingError(f"the head collapsed: the mean pairwise cosine of its outputs is {mean_cosine:.4f}.")


def _batches(rows: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(rows, generator=generator)
    for start in range(0, rows - batch + 1, batch):
        yield order[start : start + batch]
