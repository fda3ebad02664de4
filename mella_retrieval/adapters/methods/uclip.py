"""uCLIP: alignment without pairs, English as the anchor (arXiv 2511.13036)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mella_retrieval.adapters.fitting import FitConfig, fit, require_spread
from mella_retrieval.adapters.heads import Head, fold
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.losses import info_nce
from mella_retrieval.adapters.method import Fitted, Progress
from mella_retrieval.adapters.selection import MEASURE, mean_reciprocal_rank
from mella_retrieval.errors import TrainingError

WIDTH = 512
"""Dimension of the shared space, as published."""


class UClipConfig(FitConfig):
    """Options of uCLIP; the published values are epochs 5, batch_size 512 (on about 2 M sentences).

    Attributes:
        temperature: of the contrastive losses.
        noise: standard deviation of the noise on the unit vectors (published as the variance .004).
        intra: weight of the loss within each side.
    """

    temperature: float = Field(default=0.01, gt=0)
    noise: float = Field(default=0.004**0.5, ge=0)
    intra: float = Field(default=0.1, ge=0)


class UClip:
    """Two heads trained on English sentences and stored pseudo-pairs; both sides are projected.

    For a batch of English sentences: `t` = image tower's text vector (b, d), `e` = multilingual text vector (b, d_x), `v` and `m`
    their soft retrievals from an image bank and a multilingual text bank (constants of the data, see `pseudo_pairs`). With
    `z <- norm(z + noise)` for all four:

        L = NCE(text(e), clip(t)) + NCE(text(m), clip(v)) + intra / 2 * mean(|text(m) - text(e)| + |clip(t) - clip(v)|)

    Text head: Linear d_x -> 2 d_x, BatchNorm, ReLU, Linear -> 512, for English and target languages. CLIP head: the same from d,
    for CLIP text and CLIP image: in training each of them has its own batch statistics, at inference both share the running ones.
    """

    name = "uclip"
    needs = (frozenset({"english_text", "clip_text", "image_vectors", "text_bank"}),)
    config = UClipConfig

    def fit(self, inputs: Inputs, config: UClipConfig, progress: Progress | None = None) -> Fitted:
        """Train both heads; the epoch with the best held-out text-to-text rank is kept."""
        if inputs.english is None or inputs.pseudo_images is None or inputs.pseudo_texts is None:
            raise TrainingError("uclip needs English texts in both text towers and both memory banks.")
        generator = torch.Generator().manual_seed(inputs.seed)
        heads = _heads(inputs, generator)
        train = torch.from_numpy(inputs.english.train)
        english, clip = torch.from_numpy(inputs.english.text), torch.from_numpy(inputs.english.clip_text)
        images, texts = torch.from_numpy(inputs.pseudo_images), torch.from_numpy(inputs.pseudo_texts)
        held_out = torch.from_numpy(inputs.english.held_out)

        def loss(chosen: Tensor) -> Tensor:
            rows = train[chosen]
            t, e, v, m = (_with_noise(side[rows], config.noise, generator) for side in (clip, english, images, texts))
            return uclip_loss(heads["text"], heads["clip"], (t, e, v, m), config)

        def measure() -> float:
            queries = functional.normalize(heads["text"](english[held_out]), dim=1).numpy()
            gallery = functional.normalize(heads["clip"](clip[held_out]), dim=1).numpy()
            return mean_reciprocal_rank(queries, gallery, torch.arange(len(held_out)).numpy())

        report = fit(heads, loss, measure, len(train), config, generator, progress)
        with torch.no_grad():
            require_spread(functional.normalize(heads["text"](english), dim=1))
        selection = {"measure": MEASURE, "on": f"{len(held_out)} held-out English texts, text to text", **report}
        return Fitted(_folded(heads["text"]), _folded(heads["clip"]), selection)


def build_head(dim: int) -> nn.Sequential:
    """Linear dim -> 2 dim, BatchNorm, ReLU, Linear -> 512."""
    return nn.Sequential(nn.Linear(dim, 2 * dim), nn.BatchNorm1d(2 * dim), nn.ReLU(), nn.Linear(2 * dim, WIDTH))


def _heads(inputs: Inputs, generator: torch.Generator) -> nn.ModuleDict:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        return nn.ModuleDict({"text": build_head(inputs.text_tower.dim), "clip": build_head(inputs.image_tower.dim)})


def _folded(head: nn.Module) -> Head:
    assert isinstance(head, nn.Sequential)
    return fold(head)


def _with_noise(vectors: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    return functional.normalize(vectors + deviation * torch.randn(vectors.shape, generator=generator), dim=1)


def uclip_loss(text: nn.Module, clip: nn.Module, batch: tuple[Tensor, Tensor, Tensor, Tensor], config: UClipConfig) -> Tensor:
    """The loss of a batch `(t, e, v, m)` as the class `UClip` writes it; the noise has been added already."""
    t, e, v, m = batch
    text_e, text_m = (functional.normalize(text(side), dim=1) for side in (e, m))
    clip_t, clip_v = (functional.normalize(clip(side), dim=1) for side in (t, v))
    inter = info_nce(text_e, clip_t, config.temperature) + info_nce(text_m, clip_v, config.temperature)
    intra = ((text_m - text_e).norm(dim=1) + (clip_t - clip_v).norm(dim=1)).mean() / 2
    total: Tensor = inter + config.intra * intra
    return total
