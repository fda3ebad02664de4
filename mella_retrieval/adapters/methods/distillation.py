"""Distillation from parallel sentences: translations learn to lie where the English text lies."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mella_retrieval.adapters.fitting import FitConfig, Problem, fit
from mella_retrieval.adapters.gradient import mapped, seeded, unit
from mella_retrieval.adapters.heads import Head, fold
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.method import Fitted
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.selection import MEASURE, mean_reciprocal_rank
from mella_retrieval.adapters.stored import Stored
from mella_retrieval.errors import TrainingError


class DistillationConfig(FitConfig):
    """Options of distillation.

    Attributes:
        english: weight of the English texts themselves; 0 is Multilingual-CLIP, 1 is "make multilingual".
        hidden: width of a hidden layer with ReLU; 0: one linear layer, as Multilingual-CLIP has it.
    """

    english: float = Field(default=1, ge=0)
    hidden: int = Field(default=0, ge=0)


class Distillation:
    """`L = MSE(f(x), t) + english MSE(f(e), t)` over parallel sentences.

    x (b, d_x): multilingual vectors of translations; e (b, d_x): those of the English texts they translate; t (b, d): the image
    tower's own vectors of the English texts, L2-normalised (Multilingual-CLIP; sentence-transformers' "make multilingual";
    methods.md, section 4). The image side is untouched.
    """

    name = "distillation"
    needs = (frozenset({"english_text", "clip_text", "translations"}),)
    config = DistillationConfig

    def fit(self, inputs: Inputs, config: DistillationConfig, run: Run) -> Fitted:
        """Train the text head; the epoch in which held-out translations best find their English text is kept."""
        english, translations = inputs.english, inputs.translations
        if english is None or translations is None:
            raise TrainingError("distillation needs English texts in both text towers and translations of them.")
        device, generator = run.place(), torch.Generator().manual_seed(inputs.seed)
        head = seeded(lambda: _head(inputs, config), generator).to(device)
        texts, source, clip = (Stored(side, device) for side in (translations.text, english.text, english.clip_text))
        owner = torch.from_numpy(translations.english_rows)
        train, held_out = (torch.from_numpy(translations.of(rows)) for rows in (english.train, english.held_out))
        if not len(train) or not len(held_out):
            raise TrainingError("no translation of the held-out tenth of the English texts is at hand: give more translations.")
        targets = english.clip_text[english.held_out]
        partner = np.searchsorted(english.held_out, owner[held_out].numpy())

        def loss(chosen: Tensor) -> Tensor:
            rows = train[chosen]
            target = clip[owner[rows]]
            total = functional.mse_loss(head(texts[rows]).float(), target)
            return total + config.english * functional.mse_loss(head(source[owner[rows]]).float(), target)

        def measure() -> float:
            return mean_reciprocal_rank(mapped(head, texts[held_out]), targets, partner)

        report = fit(Problem(head, loss, measure, len(train), lambda: unit(head(texts[held_out]))), config, generator, run)
        on = f"{len(held_out)} held-out translations, text to English text"
        return Fitted(fold(head.cpu()), Head(), {"measure": MEASURE, "on": on, **report})  # type: ignore[arg-type]


def _head(inputs: Inputs, config: DistillationConfig) -> nn.Sequential:
    d_x, d = inputs.text_tower.dim, inputs.image_tower.dim
    if not config.hidden:
        return nn.Sequential(nn.Linear(d_x, d))
    return nn.Sequential(nn.Linear(d_x, config.hidden), nn.ReLU(), nn.Linear(config.hidden, d))
