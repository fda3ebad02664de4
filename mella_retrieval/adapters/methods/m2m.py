"""M2M: linear layers from English text alone into the image tower's text space (arXiv 2601.10096)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mella_retrieval.adapters.closed_form import gallery_head, held_out_name
from mella_retrieval.adapters.fitting import FitConfig, Problem, fit
from mella_retrieval.adapters.gradient import mapped, seeded, unit
from mella_retrieval.adapters.heads import Head, Linear, fold
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.method import Fitted
from mella_retrieval.adapters.moments import mean
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.selection import MEASURE, mean_reciprocal_rank
from mella_retrieval.adapters.stored import Stored
from mella_retrieval.errors import TrainingError


class M2mConfig(FitConfig):
    """Options of M2M; the defaults are the published ones (on 250,000 sentences).

    Attributes:
        layers: linear layers, without activation between them.
        distance: weight of the squared error to the English text's vector.
        structure: weight of the squared error between both sides' similarities within the batch.
        recentre: take the mean output off, and centre image vectors too: both sides lose their offset.
    """

    layers: int = Field(default=1, ge=1, le=4)
    distance: float = Field(default=44, ge=0)
    structure: float = Field(default=1, ge=0)
    recentre: bool = False
    epochs: int = Field(default=50, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=3e-4, gt=0)
    warmup: int = Field(default=50, ge=0)


class M2m:
    """`L = 44 MSE(f(e), t) + MSE(triu(f(e) f(e)^T), triu(t t^T))` over batches of English sentences.

    e (b, d_x): multilingual text vectors; t (b, d): the image tower's text vectors, L2-normalised; f: 1 to 4 linear layers
    d_x -> d, its outputs not normalised in training. Both errors are means over their entries; the triangle is without the
    diagonal. The image side is untouched, so an existing index stays valid (unless `recentre`).
    """

    name = "m2m"
    needs = (frozenset({"english_text", "clip_text"}),)
    config = M2mConfig

    def fit(self, inputs: Inputs, config: M2mConfig, run: Run) -> Fitted:
        """Train the text head; the epoch with the best held-out text-to-text rank is kept."""
        english = inputs.english
        if english is None:
            raise TrainingError("m2m needs English texts in both text towers.")
        if config.recentre and "image_vectors" not in inputs.have:
            raise TrainingError("recentre takes the mean of a picture collection off: give image_vectors, or leave recentre out.")
        device, generator = run.place(), torch.Generator().manual_seed(inputs.seed)
        dims = [inputs.text_tower.dim, *[inputs.image_tower.dim] * config.layers]
        head = seeded(lambda: nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(dims))), generator)
        head = head.to(device)
        text, clip = Stored(english.text, device), Stored(english.clip_text, device)
        train, held_out = torch.from_numpy(english.train), torch.from_numpy(english.held_out)
        targets = clip[held_out].cpu().numpy()

        def loss(chosen: Tensor) -> Tensor:
            return m2m_loss(head(text[train[chosen]]), clip[train[chosen]], config)

        def measure() -> float:
            return mean_reciprocal_rank(mapped(head, text[held_out]), targets, np.arange(len(targets)))

        report = fit(Problem(head, loss, measure, len(train), lambda: unit(head(text[held_out]))), config, generator, run)
        folded = _as_one(fold(head.cpu()))  # type: ignore[arg-type]
        if config.recentre:
            folded = _without_mean(folded, mean(english.text, english.final))
        gallery = gallery_head(inputs, "centred") if config.recentre else Head()
        return Fitted(folded, gallery, {"measure": MEASURE, "on": held_out_name(english), **report})


def m2m_loss(outputs: Tensor, targets: Tensor, config: M2mConfig) -> Tensor:
    """The loss of a batch as the class `M2m` writes it."""
    with torch.autocast(outputs.device.type, enabled=False):
        return _m2m_loss(outputs.float(), targets.float(), config)


def _m2m_loss(outputs: Tensor, targets: Tensor, config: M2mConfig) -> Tensor:
    upper = torch.triu_indices(len(outputs), len(outputs), offset=1, device=outputs.device)
    ours, theirs = (side @ side.T for side in (outputs, targets))
    structure = functional.mse_loss(ours[upper[0], upper[1]], theirs[upper[0], upper[1]])
    return config.distance * functional.mse_loss(outputs, targets) + config.structure * structure


def _as_one(head: Head) -> Head:
    """A chain of linear layers is one linear layer."""
    weight, bias = np.eye(head.layers[0].weight.shape[1]), np.zeros(head.layers[0].weight.shape[1])  # type: ignore[union-attr]
    for layer in head.layers:
        assert isinstance(layer, Linear)
        weight, bias = layer.weight.astype(np.float64) @ weight, layer.weight.astype(np.float64) @ bias + layer.bias
    return Head((Linear(weight.astype(np.float32), bias.astype(np.float32)),))


def _without_mean(head: Head, text_mean: np.ndarray) -> Head:
    """Take off the mean output, which for a linear map is the output of the mean."""
    (layer,) = head.layers
    assert isinstance(layer, Linear)
    return Head((Linear(layer.weight, (-layer.weight.astype(np.float64) @ text_mean).astype(np.float32)),))
