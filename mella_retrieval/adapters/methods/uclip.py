"""uCLIP: alignment without pairs, English as the anchor (arXiv 2511.13036)."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mella_retrieval.adapters.closed_form import held_out_name
from mella_retrieval.adapters.fitting import FitConfig, Problem, fit
from mella_retrieval.adapters.gradient import mapped, noisy, seeded, unit
from mella_retrieval.adapters.heads import fold
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.losses import info_nce
from mella_retrieval.adapters.method import Fitted, PseudoPairConfig
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.selection import MEASURE, mean_reciprocal_rank
from mella_retrieval.adapters.stored import Stored
from mella_retrieval.errors import TrainingError

WIDTH = 512
"""Dimension of the shared space, as published."""

NOISE = 0.004**0.5
"""Published as the variance .004."""


class UClipConfig(FitConfig, PseudoPairConfig):
    """Options of uCLIP.

    Attributes:
        published: the paper's settings to the letter: 5 epochs of batches of 512, linear decay from 1e-3, exact pseudo-pairs, one
            BatchNorm for CLIP texts and CLIP images, the last epoch kept. Other options must then be left out.
        shared_norm: one BatchNorm for CLIP texts and CLIP images, as published.
        project_image: False learns into the unchanged image space: an existing image index stays valid.
        temperature: of the contrastive losses.
        noise: standard deviation of the noise on the unit vectors.
        intra: weight of the loss within each side.
    """

    published: bool = False
    shared_norm: bool = False
    project_image: bool = True
    temperature: float = Field(default=0.01, gt=0)
    noise: float = Field(default=NOISE, ge=0)
    intra: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _published_alone(self) -> Self:
        given = self.model_fields_set - {"published", "hubness"}
        if self.published and given:
            raise ValueError(f"published: true fixes every setting; leave out {', '.join(sorted(given))}")
        return self

    def settled(self) -> UClipConfig:
        """The settings to train with."""
        if not self.published:
            return self
        return self.model_copy(update={"epochs": 5, "batch_size": 512, "keep": "last", "shared_norm": True})


class UClip:
    """Two heads trained on English sentences and stored pseudo-pairs.

    For a batch of English sentences: `t` = image tower's text vector (b, d), `e` = multilingual text vector (b, d_x), `v` and `m`
    their soft retrievals from an image bank and a multilingual text bank (constants of the data, see `pseudo_pairs`). With
    `z <- norm(z + noise)` for all four:

        L = NCE(text(e), clip(t)) + NCE(text(m), clip(v)) + intra / 2 * mean(|text(m) - text(e)| + |clip(t) - clip(v)|)

    Text head: Linear d_x -> 2 d_x, BatchNorm, ReLU, Linear -> 512, for English and target languages. CLIP head: the same from d,
    for CLIP text and CLIP image. As published they share one BatchNorm: in training each has its own batch statistics, at
    inference both share one running average that belongs to neither. By default each of them has a BatchNorm of its own.
    Without `project_image` the CLIP head is the identity and the text head ends in d.
    """

    name = "uclip"
    needs = (frozenset({"english_text", "clip_text", "image_vectors", "text_bank"}),)
    config = UClipConfig

    def fit(self, inputs: Inputs, config: UClipConfig, run: Run) -> Fitted:
        """Train both heads; the epoch with the best held-out text-to-text rank is kept (published: the last)."""
        config = config.settled()
        english = inputs.english
        if english is None or inputs.pseudo_images is None or inputs.pseudo_texts is None:
            raise TrainingError("uclip needs English texts in both text towers and both memory banks.")
        device, generator = run.place(), torch.Generator().manual_seed(inputs.seed)
        heads = seeded(lambda: build_heads(inputs.text_tower.dim, inputs.image_tower.dim, config), generator).to(device)
        assert isinstance(heads, Heads)
        stored = [Stored(side, device) for side in (english.clip_text, english.text, inputs.pseudo_images, inputs.pseudo_texts)]
        train, held_out = torch.from_numpy(english.train), torch.from_numpy(english.held_out)

        def loss(chosen: Tensor) -> Tensor:
            t, e, v, m = (noisy(side[train[chosen]], config.noise, generator) for side in stored)
            return uclip_loss(heads, (t, e, v, m), config)

        def measure() -> float:
            gallery = mapped(heads.clip_text, stored[0][held_out])
            return mean_reciprocal_rank(mapped(heads.text, stored[1][held_out]), gallery, np.arange(len(gallery)))

        problem = Problem(heads, loss, measure, len(train), lambda: unit(heads.text(stored[1][held_out])))
        report = fit(problem, config, generator, run)
        text, image = (fold(side.cpu()) for side in (heads.text, heads.clip_image))
        return Fitted(text, image, {"measure": MEASURE, "on": held_out_name(english), **report})


class Heads(nn.Module):
    """The text head, and the CLIP head as texts and as images go through it (an empty one where images are not projected)."""

    def __init__(self, text: nn.Sequential, clip_text: nn.Sequential, clip_image: nn.Sequential) -> None:
        super().__init__()
        self.text, self.clip_text, self.clip_image = text, clip_text, clip_image


def build_heads(d_x: int, d: int, config: UClipConfig) -> Heads:
    """The heads of a configuration, for text vectors of `d_x` and image vectors of `d` dimensions."""
    if not config.project_image:
        return Heads(build_head(d_x, d), nn.Sequential(), nn.Sequential())
    text, clip = build_head(d_x), build_head(d)
    if config.shared_norm:
        return Heads(text, clip, clip)
    return Heads(text, clip, nn.Sequential(clip[0], nn.BatchNorm1d(2 * d), *clip[2:]))


def build_head(dim: int, out: int = WIDTH) -> nn.Sequential:
    """Linear dim -> 2 dim, BatchNorm, ReLU, Linear -> out."""
    return nn.Sequential(nn.Linear(dim, 2 * dim), nn.BatchNorm1d(2 * dim), nn.ReLU(), nn.Linear(2 * dim, out))


def uclip_loss(heads: Heads, batch: tuple[Tensor, Tensor, Tensor, Tensor], config: UClipConfig) -> Tensor:
    """The loss of a batch `(t, e, v, m)` as the class `UClip` writes it; the noise has been added already."""
    t, e, v, m = batch
    text_e, text_m = (unit(heads.text(side)) for side in (e, m))
    clip_t, clip_v = unit(heads.clip_text(t)), unit(heads.clip_image(v))
    with torch.autocast(t.device.type, enabled=False):
        inter = info_nce(text_e, clip_t, config.temperature) + info_nce(text_m, clip_v, config.temperature)
        intra = ((text_m - text_e).norm(dim=1) + (clip_t - clip_v).norm(dim=1)).mean() / 2
        total: Tensor = inter + config.intra * intra
    return total
