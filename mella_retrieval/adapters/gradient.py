"""What the trained methods share: seeded starts, unit outputs, noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def seeded(build: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """Build a module whose initial weights come from the generator, whatever torch's global state."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        return build()


def unit(vectors: Tensor) -> Tensor:
    """L2-normalised rows, in float32 at least."""
    return functional.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)


def noisy(vectors: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Unit rows moved by Gaussian noise of this standard deviation and normalised again."""
    noise = torch.randn(vectors.shape, generator=generator).to(vectors.device)
    return functional.normalize(vectors + deviation * noise, dim=1)


def mapped(module: nn.Module, vectors: Tensor) -> np.ndarray:
    """L2-normalised outputs of a module in memory, for measuring."""
    return np.asarray(unit(module(vectors)).cpu().numpy())
