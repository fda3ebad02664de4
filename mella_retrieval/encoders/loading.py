"""Loading a tower by its spec. A new kind of encoder is one file with `load_image` and `load_text`, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.encoders.towers import ImageTower, TextTower

LOADERS: Mapping[str, str] = {
    "open_clip": "mella_retrieval.encoders.open_clip_towers",
    "transformers": "mella_retrieval.encoders.transformers_towers",
    "sentence-transformers": "mella_retrieval.encoders.sentence_transformers_towers",
    "mllm": "mella_retrieval.encoders.mllm_towers",
    "module": "mella_retrieval.encoders.module_towers",
}
"""Kind of a spec -> the module that loads it; imported only then, since each brings a large library."""


def load_image_tower(
    spec: str | EncoderSpec,
    *,
    device: str = "auto",
    precision: str = "fp32",
    allow_module: bool = False,
    trust_remote_code: bool = False,
) -> ImageTower:
    """Load a frozen image tower.

    Args:
        spec: for example `open_clip:ViT-B-32/datacomp_xl_s13b_b90k`; see `specs`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `fp32`, `bf16` or `fp16`; weights are hashed before they are cast.
        allow_module: import the class that a `module:` spec names. Say so only for a spec that the user gave, never for
            one that was read from somebody's manifest.
        trust_remote_code: let transformers and sentence-transformers run code that lies beside the weights.

    Raises:
        ConfigError: the spec or the precision is not valid.
        EncoderError: the model is not found, damaged, has no image side, or the device is not there.
        MissingDependencyError: the model needs a package that is not installed.
    """
    module, request = _request(spec, device, precision, allow_module, trust_remote_code)
    tower: ImageTower = module.load_image(request)
    return tower


def load_text_tower(
    spec: str | EncoderSpec,
    *,
    device: str = "auto",
    precision: str = "fp32",
    allow_module: bool = False,
    trust_remote_code: bool = False,
) -> TextTower:
    """Load a frozen text tower; arguments and errors as `load_image_tower`."""
    module, request = _request(spec, device, precision, allow_module, trust_remote_code)
    tower: TextTower = module.load_text(request)
    return tower


def _request(
    spec: str | EncoderSpec, device: str, precision: str, allow_module: bool, trust_remote_code: bool
) -> tuple[Any, Any]:
    from mella_retrieval.encoders.torch_towers import LoadRequest, check_precision, find_device

    parsed = EncoderSpec.parse(spec).located()
    request = LoadRequest(parsed, find_device(device), check_precision(precision), trust_remote_code, allow_module)
    return import_module(LOADERS[parsed.kind]), request
