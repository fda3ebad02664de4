"""Settings of a fine-tuning."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from mella_retrieval.encoders.picture_limits import Limits
from mella_retrieval.mllm.prompts import SOURCES
from mella_retrieval.recipes import Strict

NO_PART = ("per_device", "workers", "checkpoint_every")
"""Keys that decide how a run is carried out, not what comes out."""


class Lora(Strict):
    """Low-rank additions to the linear layers of the language model (arXiv 2106.09685).

    Attributes:
        rank: of each addition.
        alpha: additions are scaled by alpha / rank.
        dropout: on their input.
    """

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.05, ge=0, lt=1)


class Picture(Limits):
    """Limits of the resolution, as `mella describe` has them.

    Attributes:
        max_patches: tiles of a picture, for models that cut pictures into tiles (InternVL), stored with the trained model;
            0 leaves what it has.
    """

    max_patches: int = Field(default=0, ge=0)


class Evaluation(Strict):
    """Records that are not trained on.

    Attributes:
        share: of the pictures, where the records have no split `validation`; 0: nothing is held out.
        limit: at most so many texts are looked at.
        every: steps between two evaluations; one stands before the first step and one behind the last in any case.
    """

    share: float = Field(default=0.02, ge=0, lt=1)
    limit: int = Field(default=1000, ge=1)
    every: int = Field(default=200, ge=1)


class SftRecipe(Strict):
    """Settings of a fine-tuning.

    Attributes:
        method: `lora`, `qlora` (the frozen weights in 4 bits) or `full`.
        frozen: of `vision` and `connector`, what is not trained. The language model always is.
        lora: for lora and qlora.
        prompts: file of templates; "" is the one that comes with the package.
        system: what the model is told before the question; "" leaves that to its chat template.
        sources: source of records -> whose prompts ask for its texts, `know` or `ling`; those two stand for themselves.
        weights: source -> how often each of its records is drawn in one pass, 1 by default; of a fraction, a seeded part of
            the records is drawn, another one in each pass.
        images: false asks without showing the picture: what is learnt then was not seen.
        picture: limits of the resolution.
        max_length: tokens of a whole conversation; longer ones are left out and listed, never cut.
        epochs: passes over the data; the last batch is filled with the first records of one more pass.
        steps: instead of `epochs`.
        batch: conversations to a step, over all devices.
        per_device: at most so many at a time on a device; the gradients of a step are added up.
        learning_rate: its peak. schedule: what follows. warmup: share of the steps before the peak (1 or more: steps).
        weight_decay: of AdamW.
        max_grad_norm: gradients are scaled down to it.
        precision: of the computation, `bf16`, `fp32` or `auto` (bf16 on CUDA). With bf16, frozen weights are bf16 too.
        activation_checkpointing: compute activations twice instead of keeping them.
        evaluation: what is held out, and when it is looked at.
        log_every: steps between two lines of the log.
        checkpoint_every: steps between two states that a killed run continues from.
        workers: processes that read pictures on each device, at most as many as there are cores; 0: none of their own.
        save: of lora and qlora: `adapter` alone, or `merged` into a whole model (which full training always gives).
        seed: of prompts, held-out records, order and initial weights.
    """

    method: Literal["lora", "qlora", "full"] = "lora"
    frozen: tuple[Literal["vision", "connector"], ...] = ("vision", "connector")
    lora: Lora = Lora()
    prompts: str = ""
    system: str = ""
    sources: dict[str, str] = Field(default_factory=dict)
    weights: dict[str, float] = Field(default_factory=dict)
    images: bool = True
    picture: Picture = Picture()
    max_length: int = Field(default=4096, ge=1)
    epochs: float = Field(default=1, gt=0)
    steps: int | None = Field(default=None, ge=1)
    batch: int = Field(default=16, ge=1)
    per_device: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=4e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup: float = Field(default=0.03, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    activation_checkpointing: bool = True
    evaluation: Evaluation = Evaluation()
    log_every: int = Field(default=10, ge=1)
    checkpoint_every: int = Field(default=500, ge=1)
    workers: int = Field(default=0, ge=0)
    save: Literal["adapter", "merged"] = "adapter"
    seed: int = Field(default=0, ge=0, lt=2**32)

    @field_validator("sources")
    @classmethod
    def _of_known_prompts(cls, sources: dict[str, str]) -> dict[str, str]:
        for name, source in sources.items():
            if source not in SOURCES:
                raise ValueError(f"the records of {name!r} can be asked for with the prompts of {' or '.join(SOURCES)}")
        return sources

    @field_validator("weights")
    @classmethod
    def _of_any_use(cls, weights: dict[str, float]) -> dict[str, float]:
        for name, weight in weights.items():
            if not 0 <= weight < 1000:
                raise ValueError(f"the weight of {name!r} must be a number from 0 to 1000")
        return weights

    @property
    def lasting(self) -> dict[str, Any]:
        """What decides the outcome, JSON-able."""
        return self.model_dump(mode="json", exclude=set(NO_PART))
