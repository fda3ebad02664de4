"""Towers of the user's own: `module:package.module:Class?key=value`.

An image tower needs two methods, a text tower one:

    class MyImages:
        def __init__(self, weights: str) -> None: ...       # the spec's options, as text
        def prepare(self, image): ...                       # RGB picture -> tensor of one shape; called in threads
        def encode(self, batch): ...                        # stacked tensors (n, ...) -> (n, d) tensor or array

    class MyTexts:
        modality = "text"
        def encode(self, texts): ...                        # list of n prepared texts -> (n, d)

Everything else is optional. Attributes: `modality`; `weights`, a hash of the weights, where they are not `torch.nn`
modules held by the object (those are found, hashed, frozen, moved and cast); `version`, any text, to be changed when the
code changes what it computes; `text_preparation`, fields of `TextPreparation`; `max_tokens`. Methods:
`count_tokens(texts)`, and `encode_with_tokens(batch)` -> (pooled, one (t, d_t) array or tensor per input).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image as images
from PIL.Image import Image
from torch import nn

from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.encoders.text_preparation import TextPreparation, require_text
from mella_retrieval.encoders.torch_towers import LoadRequest, TorchImageTower, empty, freeze, to_float32, weights_hash
from mella_retrieval.encoders.towers import (
    NO_LIMIT,
    Encoded,
    ImageTower,
    TextTower,
    TowerInfo,
    normalise_rows,
)
from mella_retrieval.errors import EncoderError, MellaError
from mella_retrieval.recipes import build_config


def load_image(request: LoadRequest) -> ImageTower:
    """Wrap a user's image tower; see `loading.load_image_tower`."""
    return ModuleImageTower(request, _create(request, "image"))


def load_text(request: LoadRequest) -> TextTower:
    """Wrap a user's text tower; see `loading.load_text_tower`."""
    return ModuleTextTower(request, _create(request, "text"))


class ModuleImageTower(TorchImageTower):
    """A user's image tower behind the `ImageTower` protocol."""

    def __init__(self, request: LoadRequest, tower: Any) -> None:
        self._tower = tower
        weights = _settle(tower, request)
        self._device, self._dtype = request.device, request.dtype
        with torch.inference_mode(), _blaming(request.spec, "prepare and encode a grey picture of 64 x 48 pixels"):
            prepared = self.prepare(images.new("RGB", (64, 48), (128, 128, 128)))
            pixels = prepared[None].to(request.device, request.dtype if prepared.is_floating_point() else None)
            dim = self._run(pixels, tokens=False)[0].shape[1]
        super().__init__(_info(request, tower, "image", dim, weights, getattr(tower, "preparation", {})), request)

    def prepare(self, image: Image) -> torch.Tensor:
        """See `ImageTower`."""
        return torch.as_tensor(self._tower.prepare(image))

    def _run(self, pixels: torch.Tensor, tokens: bool) -> tuple[torch.Tensor, Sequence[torch.Tensor] | None]:
        return _run(self._tower, pixels, tokens)


class ModuleTextTower:
    """A user's text tower behind the `TextTower` protocol."""

    def __init__(self, request: LoadRequest, tower: Any) -> None:
        self._tower = tower
        weights = _settle(tower, request)
        fields = getattr(tower, "text_preparation", {})
        self._preparation = build_config(TextPreparation, fields, f"text_preparation of {request.spec}")
        self.max_tokens = int(getattr(tower, "max_tokens", None) or NO_LIMIT)
        with torch.inference_mode(), _blaming(request.spec, "encode one text"):
            dim = _run(tower, [self._preparation.apply("a")], tokens=False)[0].shape[1]
        self.info = _info(request, tower, "text", dim, weights, self._preparation.model_dump(mode="json"))

    def prepare(self, text: str, lang: str | None = None) -> str:
        """See `TextTower`."""
        return self._preparation.apply(text)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `TextTower`; zeros where the class does not count."""
        if not hasattr(self._tower, "count_tokens"):
            return [0] * len(texts)
        return [int(count) for count in self._tower.count_tokens([self.prepare(text) for text in texts])]

    def encode(self, texts: Sequence[str], langs: Sequence[str] | None = None, tokens: bool = False) -> Encoded:
        """See `TextTower`."""
        if not texts:
            return empty(self.info.dim, tokens)
        prepared = [self.prepare(text) for text in texts]
        require_text(prepared, texts)
        with torch.inference_mode():
            pooled, states = _run(self._tower, prepared, tokens)
        vectors = normalise_rows(to_float32(pooled), f"{self.info.spec}: the vector of text")
        return Encoded(vectors, None if states is None else [to_float32(state) for state in states])


def _create(request: LoadRequest, modality: str) -> Any:
    spec = request.spec
    if not request.allow_module:
        raise EncoderError(
            f"{spec} runs code of your own. It is imported only where you name it yourself: pass the same spec on the "
            "command line, or allow_module=True in Python."
        )
    module_name, _, class_name = spec.name.partition(":")
    try:
        owner = importlib.import_module(module_name)
    except ImportError as error:
        raise EncoderError(
            f"{spec}: cannot import {module_name} ({error}). Install it, or put its folder into PYTHONPATH."
        ) from error
    if not callable(getattr(owner, class_name, None)):
        raise EncoderError(f"{spec}: {module_name} has no class {class_name}.")
    with _blaming(spec, "create the object"):
        tower = getattr(owner, class_name)(**spec.options)
    offered = getattr(tower, "modality", "image" if hasattr(tower, "prepare") else "text")
    needed = ("prepare", "encode") if modality == "image" else ("encode",)
    if offered != modality or not all(callable(getattr(tower, method, None)) for method in needed):
        raise EncoderError(
            f"{spec} is no {modality} tower: its modality is {offered!r}, and an {modality} tower has the methods "
            f"{' and '.join(needed)}."
        )
    return tower


def _settle(tower: Any, request: LoadRequest) -> str | None:
    """Freeze, move and cast the modules that the object holds; return the hash of their weights, else what it declares."""
    held = {"": tower} if isinstance(tower, nn.Module) else vars(tower) if hasattr(tower, "__dict__") else {}
    modules = {name: module for name, module in held.items() if isinstance(module, nn.Module)}
    state = {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    declared = getattr(tower, "weights", None)
    weights = weights_hash(state) if state else declared if isinstance(declared, str) else None
    for module in modules.values():
        freeze(module, request)
    return weights


def _run(tower: Any, batch: Any, tokens: bool) -> tuple[torch.Tensor, Sequence[torch.Tensor] | None]:
    if tokens and not hasattr(tower, "encode_with_tokens"):
        raise EncoderError(f"{type(tower).__name__} gives no token vectors: it has no method encode_with_tokens.")
    vectors, states = tower.encode_with_tokens(batch) if tokens else (tower.encode(batch), None)
    pooled = torch.as_tensor(vectors)
    if pooled.ndim != 2 or len(pooled) != len(batch):
        raise EncoderError(
            f"{type(tower).__name__} returned vectors of shape {tuple(pooled.shape)} for a batch of {len(batch)}; "
            f"expected ({len(batch)}, d)."
        )
    return pooled, None if states is None else [torch.as_tensor(state) for state in states]


def _info(
    request: LoadRequest, tower: Any, modality: Any, dim: int, weights: str | None, preparation: dict[str, Any]
) -> TowerInfo:
    # Where the weights lie does not decide a vector, their hash stands for them; all other options may.
    options = {key: value for key, value in request.spec.arguments if not Path(value).exists()}
    return TowerInfo(
        spec=str(request.spec),
        modality=modality,
        dim=dim,
        weights=weights,
        preparation={"library": "module", **preparation},
        precision=request.precision,
        traits={"class": request.spec.name, "version": str(getattr(tower, "version", "")), **options},
    )


@contextmanager
def _blaming(spec: EncoderSpec, action: str) -> Iterator[None]:
    """Turn any error of the user's class into an EncoderError that says what it was asked for."""
    try:
        yield
    except MellaError:
        raise
    except Exception as error:
        raise EncoderError(f"{spec} could not {action}: {type(error).__name__}: {error}") from error
