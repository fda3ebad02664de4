"""Averaged adapters: several linear maps of the same vectors, brought to one scale and averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from mella_retrieval.adapters.closed_form import NEEDS, held_out_name, held_out_value
from mella_retrieval.adapters.heads import Head, Linear
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.method import Fitted, Method, MethodConfig, met_needs
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.selection import MEASURE
from mella_retrieval.errors import TrainingError
from mella_retrieval.recipes import build_config

LINEAR = ("procrustes", "ridge", "m2m", "distillation", "contrastive")
"""Methods whose text head is one linear map and whose image head can be that of the others."""


class AverageConfig(MethodConfig):
    """Options of an average.

    Attributes:
        parts: each with the key `method`, its `weight` in the average, and options of that method. A part whose needs are not met
            by the data at hand is left out.
    """

    parts: list[dict[str, Any]] = Field(min_length=1)

    @field_validator("parts")
    @classmethod
    def _check(cls, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for part in parts:
            _Part.read(part)
        return parts


@dataclass(frozen=True)
class _Part:
    """One adapter of the average."""

    method: Method
    config: MethodConfig
    weight: float

    @classmethod
    def read(cls, values: dict[str, Any]) -> _Part:
        from mella_retrieval.adapters.methods import METHODS

        options = dict(values)
        name, weight = options.pop("method", None), options.pop("weight", 1.0)
        if name not in LINEAR:
            raise ValueError(f"a part's method is one of {', '.join(LINEAR)}; found {name!r}")
        if not isinstance(weight, (int, float)) or not weight > 0:
            raise ValueError(f"the weight of {name} must be a number above 0, not {weight!r}")
        config = build_config(METHODS[name].config, options, f"part {name}")
        if config.hubness:
            raise ValueError("hubness belongs to the whole average, not to a part")
        return cls(METHODS[name], config, float(weight))


class Average:
    """`W = sum_i w_i W_i / |W_i|` over linear text heads (d_x -> d) that were fitted on the same vectors, each with its bias.

    An orthogonal map is stiff and a regression is not; their average keeps most of what each gets right, at no cost in use. The
    image heads of all parts must be the same. A trained part may itself begin at a closed form (`contrastive`, `start`).
    """

    name = "average"
    needs = NEEDS
    config = AverageConfig

    def fit(self, inputs: Inputs, config: AverageConfig, run: Run) -> Fitted:
        """Fit every part that the data allows, and average them."""
        parts = [_Part.read(values) for values in config.parts]
        usable = [part for part in parts if met_needs(part.method.needs, inputs.have)]
        if not usable:
            raise TrainingError(f"none of the parts {', '.join(part.method.name for part in parts)} can be fitted on this data.")
        fitted = []
        for number, part in enumerate(usable):
            inner = run.part(number)
            fitted.append(part.method.fit(inputs, part.config, inner))
            run.tell(number + 1, len(usable))
        text = _average([(part.weight, result.text_head) for part, result in zip(usable, fitted, strict=True)])
        image = fitted[0].image_head
        if any(not _same(image, other.image_head) for other in fitted[1:]):
            raise TrainingError("the parts of an average must treat images alike: give them the same gallery and no image head.")
        return Fitted(text, image, _selection(inputs, usable, fitted, text, image))


def _average(heads: list[tuple[float, Head]]) -> Head:
    weights, biases, total = [], [], sum(weight for weight, _ in heads)
    for weight, head in heads:
        if len(head.layers) != 1 or not isinstance(head.layers[0], Linear):
            raise TrainingError("only linear text heads can be averaged; leave hidden layers and hubness out of the parts.")
        layer = head.layers[0]
        scale = weight / total / float(np.linalg.norm(layer.weight))
        weights.append(scale * layer.weight.astype(np.float64))
        biases.append(scale * layer.bias.astype(np.float64))
    if len({weight.shape for weight in weights}) > 1:
        raise TrainingError("the parts of an average map into spaces of different dimensions.")
    return Head((Linear(np.sum(weights, axis=0).astype(np.float32), np.sum(biases, axis=0).astype(np.float32)),))


def _same(first: Head, second: Head) -> bool:
    ours, theirs = first.tensors(""), second.tensors("")
    return first.chain() == second.chain() and all(np.array_equal(value, theirs[name]) for name, value in ours.items())


def _selection(inputs: Inputs, parts: list[_Part], fitted: list[Fitted], text: Head, image: Head) -> dict[str, Any]:
    each = [{"method": part.method.name, "weight": part.weight, **one.selection} for part, one in zip(parts, fitted, strict=True)]
    found: dict[str, Any] = {"measure": MEASURE, "on": "each part's own held-out data", "parts": each}
    pairs = inputs.pairs
    if pairs is not None and not np.isin(pairs.held_out, pairs.final).any():  # no part was fitted on them in the end
        found |= {"on": held_out_name(pairs), "value": held_out_value(pairs, text, image)}
    return found
