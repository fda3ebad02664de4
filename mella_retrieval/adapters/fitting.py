"""Gradient fitting of small heads on stored vectors: seeded, validated every epoch, resumable, the best state kept."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mella_retrieval.adapters.checkpoint import Checkpoint, State
from mella_retrieval.adapters.method import MethodConfig
from mella_retrieval.adapters.run import Run
from mella_retrieval.artifacts import Json
from mella_retrieval.errors import MissingDependencyError, TrainingError

COLLAPSED = 0.99
"""Mean pairwise cosine of the outputs above which everything has become one point."""

PATIENCE = 3
"""So many collapsed epochs in a row end a fit; a head may start collapsed and open up."""


class FitConfig(MethodConfig):
    """Options of every gradient fit.

    Attributes:
        epochs: passes over the training rows.
        batch_size: rows per step (BatchNorm needs two); a last smaller batch is left out.
        learning_rate: of AdamW at its highest; it falls linearly to zero.
        weight_decay: of AdamW.
        warmup: steps over which the learning rate rises to its highest.
        precision: arithmetic of the heads; losses are computed in fp32 always.
        keep: the weights of the epoch with the best held-out value, or of the last one.
    """

    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: int = Field(default=0, ge=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    keep: Literal["best", "last"] = "best"


@dataclass(frozen=True)
class Problem:
    """What is minimised and what is measured.

    Attributes:
        module: what is trained, in place.
        loss: loss of the training rows with the given indices (b,).
        measure: the held-out value, higher is better; called in evaluation mode.
        rows: how many training rows there are.
        outputs: L2-normalised outputs (n, d) on held-out rows, looked at for collapse; None: not looked at.
    """

    module: nn.Module
    loss: Callable[[Tensor], Tensor]
    measure: Callable[[], float]
    rows: int
    outputs: Callable[[], Tensor] | None = None


@dataclass
class _Place:
    """How far a fit has come."""

    epoch: int = 0
    step: int = 0
    history: list[float] = field(default_factory=list)
    kept: int = 0
    collapsed: int = 0


def fit(problem: Problem, config: FitConfig, generator: torch.Generator, run: Run | None = None) -> Json:
    """Train the module and leave it in evaluation mode with the weights of its best epoch.

    Args:
        problem: what is trained on what.
        config: epochs, batch size and so on.
        generator: all random draws of `loss` come from it; the order of rows is drawn from its seed.
        run: device, checkpoints, progress.

    Returns:
        The held-out value of each epoch and which one was kept.

    Raises:
        TrainingError: the loss became NaN or infinite, or the outputs collapsed.
    """
    run = run or Run()
    module = problem.module
    batch = min(config.batch_size, problem.rows)
    per_epoch = problem.rows // batch
    steps = config.epochs * per_epoch
    optimiser = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    checkpoint = Checkpoint(run.checkpoints, run.job) if run.checkpoints else None
    place, best = _Place(), State()
    found = checkpoint.load(module, optimiser, generator) if checkpoint else None
    if found:
        best, place = found[0], _Place(**found[1])
    saved = time.monotonic()
    with _events(run, place.epoch * per_epoch + place.step) as log:
        while place.epoch < config.epochs:
            module.train()
            for chosen in _batches(problem.rows, batch, generator.initial_seed(), place):
                number = place.epoch * per_epoch + place.step
                rate = config.learning_rate * _factor(number, steps, config.warmup)
                optimiser.param_groups[0]["lr"] = rate
                log("loss", _step(problem, chosen, optimiser, config, place.epoch), number)
                log("learning rate", rate, number)
                place.step += 1
                if checkpoint and time.monotonic() - saved >= run.checkpoint_seconds:
                    checkpoint.save(module, optimiser, generator, best, asdict(place))
                    saved = time.monotonic()
            for name, value in _end_epoch(problem, place, config.keep).items():
                log(name, value, place.epoch)
            if place.kept == place.epoch:
                best = copy.deepcopy(module.state_dict())
            place.epoch, place.step = place.epoch + 1, 0
            run.tell(place.epoch, config.epochs)
    module.eval()
    module.load_state_dict(best)
    if problem.outputs:
        with torch.no_grad():
            require_spread(problem.outputs())
    if checkpoint:
        checkpoint.remove()
    return {"per_epoch": place.history, "kept_epoch": place.kept + 1, "steps": steps}


def _step(problem: Problem, chosen: Tensor, optimiser: torch.optim.Optimizer, config: FitConfig, epoch: int) -> float:
    with half_precision(problem.module, config.precision):
        loss = problem.loss(chosen)
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(f"the loss became {value} in epoch {epoch + 1}; lower learning_rate.")
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return value


def _end_epoch(problem: Problem, place: _Place, keep: str) -> dict[str, float]:
    """Measure, and look for collapse; returns what was found, by name."""
    problem.module.eval()
    with torch.no_grad():
        place.history.append(problem.measure())
        cosine = mean_pairwise_cosine(problem.outputs()) if problem.outputs else 0.0
    if keep == "last" or place.history[-1] >= place.history[place.kept]:  # of equal epochs the last
        place.kept = place.epoch
    place.collapsed = 0 if cosine <= COLLAPSED else place.collapsed + 1
    if place.collapsed == PATIENCE:
        raise TrainingError(_collapse(cosine))
    return {"held-out value": place.history[-1], "mean pairwise cosine": cosine}


def half_precision(module: nn.Module, precision: str) -> AbstractContextManager[Any]:
    """Autocast for the module's device where bf16 is asked for."""
    device = next(module.parameters()).device.type
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


def _factor(step: int, steps: int, warmup: int) -> float:
    rising = (step + 1) / (warmup + 1)
    return min(rising, 1.0) * (1 - step / steps)


def mean_pairwise_cosine(outputs: Tensor) -> float:
    """Mean cosine of all pairs of rows (n, d), L2-normalised; NaN counts as collapsed (1)."""
    n = len(outputs)
    if n < 2:
        return 0.0
    value = float(((outputs.double().sum(0) ** 2).sum().item() - n) / (n * (n - 1)))
    return 1.0 if math.isnan(value) else value


def require_spread(outputs: Tensor) -> None:
    """Refuse a head whose outputs (n, d), L2-normalised, are all but one point.

    Raises:
        TrainingError: the mean pairwise cosine is above .99, or not a number.
    """
    cosine = mean_pairwise_cosine(outputs)
    if cosine > COLLAPSED:
        raise TrainingError(_collapse(cosine))


def _collapse(cosine: float) -> str:
    return (
        f"the head collapsed: the mean pairwise cosine of its outputs is {cosine:.4f}. "
        "Lower learning_rate, or raise batch_size or temperature."
    )


def _batches(rows: int, batch: int, seed: int, place: _Place) -> Iterator[Tensor]:
    """The rest of an epoch. Its order follows from seed and epoch alone, so that a resumed run finds its place."""
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed + 7919 * (place.epoch + 1)))
    for start in range(place.step * batch, rows - batch + 1, batch):
        yield order[start : start + batch]


@contextmanager
def _events(run: Run, step: int) -> Iterator[Callable[[str, float, int], None]]:
    """A function that records a named value at a step for TensorBoard, where a folder was named."""
    if run.tensorboard is None:
        yield lambda name, value, step: None
        return
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        raise MissingDependencyError("TensorBoard events need a package: pip install 'mella-retrieval[tensorboard]'.") from None
    with SummaryWriter(str(run.tensorboard), purge_step=step or None) as writer:
        yield writer.add_scalar
