"""Paired alignment on MELLA records: texts in many languages against the pictures they belong to."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from mella_retrieval.adapters import losses
from mella_retrieval.adapters.closed_form import ClosedFormConfig, Data, Gallery, gallery_head, held_out_name
from mella_retrieval.adapters.fitting import FitConfig, Problem, fit
from mella_retrieval.adapters.gradient import mapped, noisy, seeded, unit
from mella_retrieval.adapters.heads import Head, Linear, fold
from mella_retrieval.adapters.inputs import English, Inputs, Pairs
from mella_retrieval.adapters.method import Fitted
from mella_retrieval.adapters.methods.procrustes import Procrustes
from mella_retrieval.adapters.methods.ridge import Ridge, RidgeConfig
from mella_retrieval.adapters.moments import mean
from mella_retrieval.adapters.pair_sampling import ImageSampler, TextSampler, text_weights
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.selection import MEASURE, mean_reciprocal_rank
from mella_retrieval.adapters.stored import Stored
from mella_retrieval.errors import TrainingError

Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ContrastiveConfig(FitConfig):
    """Options of paired alignment.

    Attributes:
        loss: `infonce` and `sigmoid` draw texts (`batch_size` of them), `one-to-k` draws pictures with a text of each language.
        temperature: of infonce, one-to-k and the English texts; where sigmoid's learnt one starts.
        start: the text head begins at a closed form fitted on the same data, or at random.
        hidden: width of a hidden layer with ReLU (then `start` is random); 0: a linear head.
        noise: standard deviation of Gaussian noise on the unit vectors of both sides, drawn anew in every step.
        english: weight of the English texts in both text towers, as further pairs of their own, where they are at hand.
        project_image: also learn a linear map of the image side, which starts as the identity.
        gallery: `untouched`, `centred` by the mean of the training pictures, or `auto`: centred.
        source_weights: share of each value of the column `source` (`{know: 1, ling: 1}`); empty: as they are; not with one-to-k.
        language_temperature: a language's share grows with its count to this power; 1: as they are, 0: all even; not with
            one-to-k, where every picture brings all its languages.
        hard_negatives: share of a batch drawn from pictures like the others in it; not with one-to-k.
    """

    loss: Literal["infonce", "sigmoid", "one-to-k"] = "one-to-k"
    temperature: float = Field(default=0.07, gt=0)
    start: Literal["random", "procrustes", "ridge"] = "procrustes"
    hidden: int = Field(default=0, ge=0)
    noise: float = Field(default=0.03, ge=0)
    english: float = Field(default=3, ge=0)
    project_image: bool = False
    gallery: Gallery = "untouched"
    source_weights: dict[str, Share] = Field(default_factory=dict)
    language_temperature: float = Field(default=1, ge=0, le=1)
    hard_negatives: float = Field(default=0, ge=0, le=0.5)
    epochs: int = Field(default=30, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_to_k_draws_pictures(self) -> Self:
        if self.loss == "one-to-k" and (self.hard_negatives or self.source_weights or self.language_temperature != 1):
            raise ValueError(
                "one-to-k draws pictures evenly, with a text of each language: source_weights, language_temperature and "
                "hard_negatives belong to loss=infonce or loss=sigmoid"
            )
        return self


class Contrastive:
    """Texts f(x) (n, d) against pictures g(v) (m, d), both L2-normalised, several texts of a picture all being right.

    infonce: symmetric cross-entropy of the n x n cosines over `temperature`, targets spread over all texts of the same picture.
    sigmoid: SigLIP's loss on the same cells, with a learnt temperature and offset (arXiv 2303.15343). one-to-k: CCRK's loss over
    m pictures and all their languages at once, which keeps the languages from drifting apart (methods.md, section 5). With
    `english`, each step adds a batch of English texts e with their vectors t in the image tower's text space, centred:
    `english * InfoNCE(f(e), t)`.

    f: Linear d_x -> d or an MLP; g: identity, centring, and a linear map d -> d if `project_image`.
    """

    name = "contrastive"
    needs = (frozenset({"pairs", "image_vectors", "english_text", "clip_text"}), frozenset({"pairs", "image_vectors"}))
    config = ContrastiveConfig

    def fit(self, inputs: Inputs, config: ContrastiveConfig, run: Run) -> Fitted:
        """Train the heads; the epoch with the best held-out text-to-image rank is kept."""
        pairs, english = inputs.pairs, inputs.english
        if pairs is None:
            raise TrainingError("contrastive needs pairs and image vectors.")
        device, generator = run.place(), torch.Generator().manual_seed(inputs.seed)
        gallery = gallery_head(inputs, config.gallery)
        module = nn.ModuleDict({"text": _text_head(inputs, config, generator), "image": _image_head(inputs, config)})
        module["scale"] = _Scale(config.temperature)
        module = module.to(device)
        batches = _Batches(pairs, gallery, config, generator, device)
        extra = _EnglishBatches(english, config, generator, device) if config.english and english else None

        def loss(chosen: Tensor) -> Tensor:
            total = batches.loss(module, chosen)
            return total + config.english * extra.loss(module) if extra else total

        rows = pairs.held_out
        used, partner = np.unique(pairs.image_rows[rows], return_inverse=True)
        langs = [pairs.langs[row] for row in rows]
        queries, shown = Stored(pairs.text[rows], device), Stored(gallery(pairs.images[used]), device)
        everything = torch.arange(len(rows)), torch.arange(len(used))

        def measure() -> float:
            found = mapped(module["image"], shown[everything[1]])
            return mean_reciprocal_rank(mapped(module["text"], queries[everything[0]]), found, partner, langs)

        problem = Problem(module, loss, measure, len(batches), lambda: unit(module["text"](queries[everything[0]])))
        report = fit(problem, config, generator, run)
        text, image = (fold(module[name].cpu()) for name in ("text", "image"))  # type: ignore[arg-type]
        heads = text, Head((*gallery.layers, *image.layers))
        return Fitted(*heads, {"measure": MEASURE, "on": held_out_name(pairs), **report})


class _Scale(nn.Module):
    """SigLIP's learnt temperature and offset; the other losses leave them alone."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(1 / temperature).log())
        self.offset = nn.Parameter(torch.tensor(-1 / temperature))

    def forward(self, cosines: Tensor) -> Tensor:
        return cosines * self.log_scale.exp() + self.offset


class _Batches:
    """Steps over the pairs: which rows are drawn, and their loss."""

    def __init__(
        self, pairs: Pairs, gallery: Head, config: ContrastiveConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        self._config, self._generator, self._device = config, generator, device
        self._pairs = pairs
        self._gallery = gallery
        self._text = Stored(pairs.text, device)
        self._owner = torch.from_numpy(pairs.image_rows)
        weights = text_weights(pairs, pairs.train, config.source_weights, config.language_temperature)
        self._by_image = ImageSampler(pairs, weights) if config.loss == "one-to-k" else None
        self._by_text = TextSampler(pairs, weights, config.hard_negatives) if self._by_image is None else None

    def __len__(self) -> int:
        """What an epoch passes over: pictures for one-to-k, texts otherwise."""
        return len(self._by_image) if self._by_image is not None else len(self._pairs.train)

    def loss(self, module: nn.ModuleDict, chosen: Tensor) -> Tensor:
        if self._by_image is not None:
            rows, _ = self._by_image(chosen, self._generator)
        else:
            assert self._by_text is not None
            rows = self._by_text(len(chosen), self._generator)
        pictures, owner = torch.unique(self._owner[rows], return_inverse=True)
        shown = torch.from_numpy(self._gallery(self._pairs.images[pictures.numpy()])).to(self._device)
        texts = unit(module["text"](noisy(self._text[rows], self._config.noise, self._generator)))
        images = unit(module["image"](noisy(shown, self._config.noise, self._generator)))
        owner = owner.to(self._device)
        with torch.autocast(self._device.type, enabled=False):
            cosines = texts @ images.T
            if self._config.loss == "one-to-k":
                return losses.one_to_k(cosines / self._config.temperature, owner)
            positive = functional.one_hot(owner, len(pictures)).to(cosines.dtype)
            if self._config.loss == "sigmoid":
                return losses.sigmoid(module["scale"](cosines), positive)
            return losses.matching(cosines / self._config.temperature, positive)


class _EnglishBatches:
    """Steps over the English texts in both text towers."""

    def __init__(self, english: English, config: ContrastiveConfig, generator: torch.Generator, device: torch.device) -> None:
        self._config, self._generator = config, generator
        self._rows = torch.from_numpy(english.train)
        self._text, self._clip = Stored(english.text, device), Stored(english.clip_text, device)
        self._clip_mean = torch.from_numpy(mean(english.clip_text, english.train)).float().to(device)

    def loss(self, module: nn.ModuleDict) -> Tensor:
        count = min(self._config.batch_size, len(self._rows))
        rows = self._rows[torch.randint(len(self._rows), (count,), generator=self._generator)]
        texts = unit(module["text"](noisy(self._text[rows], self._config.noise, self._generator)))
        targets = unit(self._clip[rows] - self._clip_mean)
        targets = unit(module["image"](noisy(targets, self._config.noise, self._generator)))
        with torch.autocast(texts.device.type, enabled=False):
            return losses.info_nce(texts, targets, self._config.temperature)


def _text_head(inputs: Inputs, config: ContrastiveConfig, generator: torch.Generator) -> nn.Module:
    d_x, d = inputs.text_tower.dim, inputs.image_tower.dim
    if config.hidden or config.start == "random":
        return seeded(lambda: _chain(d_x, config.hidden, d), generator)
    data: Data = "all" if config.english else "pairs"
    return nn.Sequential(_closed_form(inputs, config.start, data, config.gallery))


def _chain(d_x: int, hidden: int, d: int) -> nn.Sequential:
    if not hidden:
        return nn.Sequential(nn.Linear(d_x, d))
    return nn.Sequential(nn.Linear(d_x, hidden), nn.ReLU(), nn.Linear(hidden, d))


def _image_head(inputs: Inputs, config: ContrastiveConfig) -> nn.Sequential:
    if not config.project_image:
        return nn.Sequential()
    layer = nn.Linear(inputs.image_tower.dim, inputs.image_tower.dim, bias=False)
    nn.init.eye_(layer.weight)
    return nn.Sequential(layer)


def _closed_form(inputs: Inputs, start: str, data: Data, gallery: Gallery) -> nn.Linear:
    """A torch Linear (d_x -> d) with the weights of a closed form fitted on the training rows: held-out ones stay unseen."""
    inputs = inputs.without_held_out()
    options = {"data": data, "gallery": gallery}
    run = Run()
    if start == "ridge":
        fitted = Ridge().fit(inputs, RidgeConfig.model_validate(options), run)
    else:
        fitted = Procrustes().fit(inputs, ClosedFormConfig.model_validate(options), run)
    return _torch_linear(fitted.text_head)


def _torch_linear(head: Head) -> nn.Linear:
    """A head of one Linear layer as a torch module."""
    (layer,) = head.layers
    assert isinstance(layer, Linear)
    module = nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
    module.weight.data, module.bias.data = torch.from_numpy(layer.weight.copy()), torch.from_numpy(layer.bias.copy())
    return module
