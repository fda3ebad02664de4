"""Towers of dual encoders in transformers' format: CLIP, SigLIP, SigLIP 2 and whatever has the same two methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

from mella_retrieval.encoders.hub import is_local, loading, require_folder
from mella_retrieval.encoders.legibility import tokens_of
from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.encoders.text_preparation import TextPreparation, described, for_transformers, require_text
from mella_retrieval.encoders.torch_towers import (
    LoadRequest,
    TorchImageTower,
    empty,
    freeze,
    to_float32,
    unpadded,
    weights_hash,
)
from mella_retrieval.encoders.towers import Encoded, ImageTower, TextTower, TowerInfo, normalise_rows
from mella_retrieval.errors import EncoderError

# Names of files and classes that a processor's configuration carries and that do not change a pixel.
_NO_SETTING = frozenset({"processor_class", "_processor_class", "auto_map", "name_or_path", "_name_or_path"})


def load_image(request: LoadRequest) -> ImageTower:
    """Load the image tower of a dual encoder; see `loading.load_image_tower`."""
    spec = request.spec
    model, weights, arguments = _load(request, "get_image_features")
    with loading(spec, local=is_local(spec.name)):
        processor = AutoImageProcessor.from_pretrained(spec.name, **arguments)
    if "pixel_attention_mask" in getattr(processor, "model_input_names", ()):
        raise EncoderError(f"{spec}: models of variable resolution (NaFlex) are not supported; use one of fixed resolution.")
    model.text_model = None  # hashed above; only the image half is needed
    freeze(model, request)
    return TransformersImageTower(request, model, processor, weights)


def load_text(request: LoadRequest) -> TextTower:
    """Load the text tower of a dual encoder; see `loading.load_text_tower`."""
    spec = request.spec
    model, weights, arguments = _load(request, "get_text_features")
    with loading(spec, local=is_local(spec.name)):
        tokenizer = AutoTokenizer.from_pretrained(spec.name, **arguments)
    model.vision_model = None
    freeze(model, request)
    limit = int(model.config.get_text_config().max_position_embeddings)
    rule = for_transformers(model.config.model_type, type(tokenizer).__name__, limit)
    preparation = rule.override(spec.text_options, spec)
    if (preparation.max_length or limit) > limit:
        raise EncoderError(f"{spec}: max_length {preparation.max_length} is more than the model's {limit} positions.")
    return TransformersTextTower(request, model, tokenizer, preparation, weights)


class TransformersImageTower(TorchImageTower):
    """The vision half; pictures are prepared by the model's own image processor."""

    def __init__(self, request: LoadRequest, model: nn.Module, processor: Any, weights: str) -> None:
        self._model: Any = model
        self._processor = processor
        settings = {key: value for key, value in processor.to_dict().items() if key not in _NO_SETTING and value is not None}
        self._device, self._dtype = request.device, request.dtype
        probe = self.prepare(_grey())
        with torch.inference_mode():
            pooled, _ = self._run(probe[None].to(request.device, request.dtype), tokens=False)
        info = TowerInfo(
            spec=str(request.spec),
            modality="image",
            dim=pooled.shape[1],
            weights=weights,
            preparation={"library": "transformers", **settings},
            precision=request.precision,
            traits=_traits(model),
        )
        super().__init__(info, request)

    @property
    def model(self) -> Any:
        """The library's model, frozen; for export."""
        return self._model

    @property
    def processor(self) -> Any:
        """The library's image processor; for export."""
        return self._processor

    def prepare(self, image: Image) -> torch.Tensor:
        """See `ImageTower`."""
        picture = image if image.mode == "RGB" else image.convert("RGB")
        pixels: torch.Tensor = self._processor(images=picture, return_tensors="pt")["pixel_values"][0]
        return pixels

    def _run(self, pixels: torch.Tensor, tokens: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        output = self._model.get_image_features(pixel_values=pixels)
        if not tokens:
            return _pooled(output), None
        if isinstance(output, torch.Tensor):  # transformers 4 returns the pooled vectors alone
            states = self._model.vision_model(pixel_values=pixels).last_hidden_state
        else:
            states = output.last_hidden_state
        if hasattr(self._model, "visual_projection"):  # CLIP; its last hidden states stand before the last layer norm
            states = self._model.visual_projection(self._model.vision_model.post_layernorm(states))
        return _pooled(output), states


class TransformersTextTower:
    """The text half, with the tokenizer beside it and the rule of its family."""

    def __init__(
        self, request: LoadRequest, model: nn.Module, tokenizer: Any, preparation: TextPreparation, weights: str
    ) -> None:
        self._model: Any = model
        self._tokenizer, self._preparation, self._device = tokenizer, preparation, request.device
        self.max_tokens = int(preparation.max_length or 0)
        described_as = described(
            preparation,
            lambda text: self._tokenize([preparation.apply(text)])["input_ids"][0].tolist(),
            library="transformers",
            tokenizer=type(tokenizer).__name__,
        )
        self.info = TowerInfo(
            spec=str(request.spec),
            modality="text",
            dim=_pooled(self._features(self._tokenize(["a"]))).shape[1],
            weights=weights,
            preparation=described_as,
            precision=request.precision,
            traits=_traits(model),
        )

    def prepare(self, text: str, lang: str | None = None) -> str:
        """See `TextTower`."""
        return self._preparation.apply(text)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `TextTower`."""
        prepared = [self.prepare(text) for text in texts]
        if not prepared:
            return []
        encoded = self._tokenizer(prepared, truncation=False, padding=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def read_tokens(self, texts: Sequence[str]) -> list[list[str | None]]:
        """The tokens of each text, see `legibility.tokens_of`."""
        return tokens_of(self._tokenizer, [self._preparation.content(text) for text in texts])

    def encode(self, texts: Sequence[str], langs: Sequence[str] | None = None, tokens: bool = False) -> Encoded:
        """See `TextTower`."""
        if not texts:
            return empty(self.info.dim, tokens)
        prepared = [self.prepare(text) for text in texts]
        require_text(prepared, texts)
        batch = self._tokenize(prepared)
        output = self._features(batch)
        pooled = normalise_rows(to_float32(_pooled(output)), f"{self.info.spec}: the vector of text")
        if not tokens:
            return Encoded(pooled)
        if isinstance(output, torch.Tensor):
            output = self._run(self._model.text_model, batch)
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        return Encoded(pooled, unpadded(output.last_hidden_state, lengths, self._tokenizer.padding_side))

    def _tokenize(self, prepared: Sequence[str]) -> dict[str, torch.Tensor]:
        encoded = self._tokenizer(
            list(prepared),
            padding="max_length" if self._preparation.padding == "max_length" else True,
            truncation=True,
            max_length=self.max_tokens,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}

    def _features(self, batch: dict[str, torch.Tensor]) -> Any:
        return self._run(self._model.get_text_features, batch)

    def _run(self, function: Any, batch: dict[str, torch.Tensor]) -> Any:
        ids, mask = batch["input_ids"].to(self._device), batch["attention_mask"].to(self._device)
        with torch.inference_mode():
            return function(input_ids=ids, attention_mask=mask if self._preparation.mask_padding else None)


def _load(request: LoadRequest, method: str) -> tuple[Any, str, dict[str, Any]]:
    """Model in its stored precision on the CPU, the hash of all its weights, and the arguments that name its revision."""
    spec, local = request.spec, is_local(request.spec.name)
    if local:
        require_folder(spec, spec.name, "config.json")
    arguments: dict[str, Any] = {"trust_remote_code": request.trust_remote_code}
    if revision := spec.options.get("revision"):
        arguments["revision"] = revision
    with loading(spec, local=local):
        config = AutoConfig.from_pretrained(spec.name, **arguments)
        _require_side(spec, config, method)
        model, report = AutoModel.from_pretrained(spec.name, config=config, output_loading_info=True, **arguments)
    if not hasattr(model, method):
        raise EncoderError(_wrong_side(spec, config.model_type, method))
    if missing := sorted(report["missing_keys"]):
        raise EncoderError(
            f"{spec}: the weights lack {len(missing)} of the model's tensors (the first is {missing[0]}); they would be "
            "random numbers. The files are incomplete or belong to another model."
        )
    return model, weights_hash(model.state_dict()), arguments


def _require_side(spec: EncoderSpec, config: Any, method: str) -> None:
    """Say before anything large is read that a plain language or vision model is no dual encoder."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    try:
        model_class = MODEL_MAPPING[type(config)]
    except KeyError:
        return  # code beside the weights; looked at after loading
    if not isinstance(model_class, tuple) and not hasattr(model_class, method):
        raise EncoderError(_wrong_side(spec, config.model_type, method))


def _wrong_side(spec: EncoderSpec, model_type: str, method: str) -> str:
    side = "image" if method == "get_image_features" else "text"
    return (
        f"{spec} is a model of type {model_type!r} and has no {side} tower (no {method}). The kind transformers takes dual "
        "encoders (CLIP, SigLIP, SigLIP 2); sentence encoders are sentence-transformers:NAME, others module:pkg.mod:Class."
    )


def _pooled(output: Any) -> torch.Tensor:
    """Pooled vectors out of what transformers 5 (an output object) or 4 (a tensor) returns."""
    pooled: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return pooled


def _traits(model: Any) -> dict[str, Any]:
    config = model.config
    parts: dict[str, Any] = {"text": config.get_text_config(), "image": getattr(config, "vision_config", None)}
    return {f"{side}_activation": getattr(part, "hidden_act", None) for side, part in parts.items()}


def _grey() -> Image:
    from PIL import Image as images

    return images.new("RGB", (64, 48), (128, 128, 128))
