"""Towers in sentence-transformers' format: sentence encoders, and the image side of those that have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image as images
from PIL.Image import Image
from sentence_transformers import SentenceTransformer

from mella_retrieval.encoders.hub import is_local, loading, require_folder
from mella_retrieval.encoders.legibility import tokens_of
from mella_retrieval.encoders.text_preparation import (
    TextPreparation,
    described,
    for_sentence_transformers,
    require_text,
)
from mella_retrieval.encoders.torch_towers import LoadRequest, TorchImageTower, empty, freeze, to_float32, weights_hash
from mella_retrieval.encoders.towers import NO_LIMIT, Encoded, ImageTower, TextTower, TowerInfo, normalise_rows
from mella_retrieval.errors import EncoderError

# Tokenizers without a limit of their own carry a huge number instead of none.
_HUGE = 1_000_000


def load_text(request: LoadRequest) -> TextTower:
    """Load a sentence encoder; see `loading.load_text_tower`."""
    model, weights = _load(request)
    _require(request, model, "text")
    spec = request.spec
    rule = for_sentence_transformers(spec.name, model.prompts, spec.options.get("prompt"))
    return SentenceTower(request, model, rule.override(spec.text_options, spec), weights)


def load_image(request: LoadRequest) -> ImageTower:
    """Load the image side of a dual model; see `loading.load_image_tower`."""
    model, weights = _load(request)
    _require(request, model, "image")
    return SentenceImageTower(request, model, weights)


class SentenceTower:
    """A sentence encoder; its vectors are those of the library's own `encode`."""

    def __init__(self, request: LoadRequest, model: SentenceTransformer, preparation: TextPreparation, weights: str) -> None:
        self._model: Any = model
        if preparation.max_length is not None:
            self._model.max_seq_length = preparation.max_length
        limit = self._model.max_seq_length
        self.max_tokens = int(limit) if limit is not None and limit < _HUGE else NO_LIMIT
        preparation = preparation.model_copy(update={"max_length": None if self.max_tokens == NO_LIMIT else self.max_tokens})
        self._preparation = preparation
        self.info = TowerInfo(
            spec=str(request.spec),
            modality="text",
            dim=int(self._encode(["a"])[0].shape[-1]),
            weights=weights,
            preparation=described(
                preparation,
                lambda text: self._ids([preparation.apply(text)])[0],
                library="sentence-transformers",
                tokenizer=type(self._model.tokenizer).__name__,
            ),
            precision=request.precision,
            traits=_traits(model),
        )

    @property
    def model(self) -> Any:
        """The library's model, frozen; for export."""
        return self._model

    def prepare(self, text: str, lang: str | None = None) -> str:
        """See `TextTower`."""
        return self._preparation.apply(text)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `TextTower`."""
        return [len(ids) for ids in self._ids([self.prepare(text) for text in texts])]

    def read_tokens(self, texts: Sequence[str]) -> list[list[str | None]]:
        """The tokens of each text, see `legibility.tokens_of`.

        Raises:
            EncoderError: the model has no tokenizer of transformers.
        """
        if not callable(self._model.tokenizer):
            raise EncoderError(f"{self.info.spec} does not show its tokens: it has no tokenizer of transformers.")
        return tokens_of(self._model.tokenizer, [self._preparation.content(text) for text in texts])

    def encode(self, texts: Sequence[str], langs: Sequence[str] | None = None, tokens: bool = False) -> Encoded:
        """See `TextTower`; token vectors are the library's `token_embeddings`."""
        if not texts:
            return empty(self.info.dim, tokens)
        contents = [self._preparation.content(text) if self.prepare(text) else "" for text in texts]
        require_text(contents, texts)
        rows = self._encode(contents, output_value=None if tokens else "sentence_embedding")
        pooled = [row["sentence_embedding"] for row in rows] if tokens else rows
        vectors = normalise_rows(to_float32(torch.stack(list(pooled))), f"{self.info.spec}: the vector of text")
        if not tokens:
            return Encoded(vectors)
        if "token_embeddings" not in rows[0]:
            raise EncoderError(f"{self.info.spec} has no token vectors: none of its modules gives token_embeddings.")
        return Encoded(vectors, [to_float32(row["token_embeddings"][row["attention_mask"].bool()]) for row in rows])

    def _encode(self, contents: Sequence[str], output_value: str | None = "sentence_embedding") -> Any:
        # As {"text": ...}, because a bare string that looks like the address of a picture would be taken for the picture.
        # The prompt is always given: None would let the model's default prompt in.
        return self._model.encode(
            [{"text": content} for content in contents],
            prompt=self._preparation.prefix,
            batch_size=len(contents),
            output_value=output_value,
            convert_to_numpy=False,
            show_progress_bar=False,
        )

    def _ids(self, prepared: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, not cut; empty lists where the model has no tokenizer of transformers."""
        tokenizer = self._model.tokenizer
        if not callable(tokenizer):  # for example a table of words
            return [[] for _ in prepared]
        if not prepared:
            return []
        ids: list[list[int]] = tokenizer(list(prepared), truncation=False, padding=False, verbose=False)["input_ids"]
        return ids


class SentenceImageTower(TorchImageTower):
    """The image side of a dual model."""

    def __init__(self, request: LoadRequest, model: SentenceTransformer, weights: str) -> None:
        self._model: Any = model
        features = self._features(images.new("RGB", (64, 48), (128, 128, 128)))
        self._constant = {key: value for key, value in features.items() if not isinstance(value, torch.Tensor)}
        inputs = [key for key, value in features.items() if isinstance(value, torch.Tensor)]
        if inputs != ["pixel_values"]:
            raise EncoderError(f"{request.spec}: its image side takes {', '.join(inputs)}, not one tensor of fixed shape.")
        self._device, self._dtype = request.device, request.dtype
        with torch.inference_mode():
            pooled, _ = self._run(features["pixel_values"].to(request.device, request.dtype), tokens=False)
        info = TowerInfo(
            spec=str(request.spec),
            modality="image",
            dim=pooled.shape[1],
            weights=weights,
            preparation={"library": "sentence-transformers", **_image_settings(model)},
            precision=request.precision,
            traits=_traits(model),
        )
        super().__init__(info, request)

    @property
    def model(self) -> Any:
        """The library's model, frozen; for export."""
        return self._model

    def prepare(self, image: Image) -> torch.Tensor:
        """See `ImageTower`."""
        pixels: torch.Tensor = self._features(image)["pixel_values"][0]
        return pixels

    def _features(self, image: Image) -> dict[str, Any]:
        features: dict[str, Any] = dict(self._model.preprocess([image if image.mode == "RGB" else image.convert("RGB")]))
        return features

    def _run(self, pixels: torch.Tensor, tokens: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        if tokens:
            raise EncoderError(f"{self.info.spec}: no token vectors of pictures; load it as open_clip or transformers model.")
        pooled: torch.Tensor = self._model({**self._constant, "pixel_values": pixels})["sentence_embedding"]
        return pooled, None


def _load(request: LoadRequest) -> tuple[SentenceTransformer, str]:
    spec, local = request.spec, is_local(request.spec.name)
    if local:
        require_folder(spec, spec.name, "modules.json", "config.json")  # a plain encoder gets mean pooling
    with loading(spec, local=local):
        model = SentenceTransformer(
            spec.name,
            device="cpu",
            revision=spec.options.get("revision"),
            trust_remote_code=request.trust_remote_code,
        )
    weights = weights_hash(model.state_dict())
    freeze(model, request)
    return model, weights


def _require(request: LoadRequest, model: Any, modality: str) -> None:
    if not model.supports(modality):
        known = ", ".join(str(name) for name in model.modalities)
        raise EncoderError(f"{request.spec} has no {modality} tower; it reads: {known}.")


def _traits(model: Any) -> dict[str, Any]:
    """What stands behind the transformer and is not in the weights: routes, pooling, activations, normalisation."""
    parts = [module for module in model.modules() if hasattr(module, "get_config_dict") and not hasattr(module, "auto_model")]
    return {"modules": [[type(part).__name__, _plain(part.get_config_dict())] for part in parts]}


def _plain(value: Any) -> Any:
    """A configuration as JSON holds it; a router's routes have tuples as keys."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _image_settings(model: Any) -> dict[str, Any]:
    """The settings of the image processor, found in whichever module has one."""
    for module in model.modules():
        processor: Any = getattr(module, "processor", None)
        processor = getattr(processor, "image_processor", processor)
        if hasattr(processor, "image_mean"):
            return {key: value for key, value in processor.to_dict().items() if value is not None and "class" not in key}
    return {}
