"""Towers of open_clip: built-in names with a pretrained tag or weights file, `hf-hub:` names and local folders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.modified_resnet import ModifiedResNet
from open_clip.pretrained import get_pretrained_cfg
from open_clip.timm_model import TimmModel
from open_clip.transformer import QuickGELU, VisionTransformer
from PIL.Image import Image
from torch import nn

from mella_retrieval.encoders.hub import loading, require_folder
from mella_retrieval.encoders.open_clip_tokens import OpenClipTokenizer
from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.encoders.text_preparation import TextPreparation, described, require_text
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
from mella_retrieval.recipes import suggest

logger = logging.getLogger(__name__)

# A token of CLIP's byte-pair vocabulary has at most 32 characters, so 77 tokens never reach behind this.
_CHARACTERS = 5000


def load_image(request: LoadRequest) -> ImageTower:
    """Load the image tower of an open_clip model; see `loading.load_image_tower`."""
    model, preprocess, weights = _load(request.spec)
    visual, traits = model.visual, _traits(model)
    del model  # hashed above; only the image half is needed
    freeze(visual, request)
    settings = {key: list(value) if isinstance(value, tuple) else value for key, value in visual.preprocess_cfg.items()}
    probe = torch.zeros(1, 3, *(settings["size"] if isinstance(settings["size"], list) else [settings["size"]] * 2))
    with torch.inference_mode():
        dim = _pooled(visual(probe.to(request.device, request.dtype))).shape[1]
    info = TowerInfo(
        spec=str(request.spec),
        modality="image",
        dim=dim,
        weights=weights,
        preparation={"library": "open_clip", **settings},
        precision=request.precision,
        traits=traits,
    )
    return OpenClipImageTower(info, request, visual, preprocess)


def load_text(request: LoadRequest) -> TextTower:
    """Load the text tower of an open_clip model; see `loading.load_text_tower`."""
    spec = request.spec
    model, _, weights = _load(spec)
    with loading(spec, local=_is_local(spec)):
        inner = open_clip.get_tokenizer(_model_and_tag(spec)[0])
    preparation = TextPreparation().override(spec.text_options, spec)
    tokenizer = OpenClipTokenizer(inner, preparation.language, spec)
    if tokenizer.slow:
        preparation = preparation.model_copy(update={"max_characters": _CHARACTERS})
    traits = _traits(model)
    model.visual = None  # hashed above; only the text half is needed
    freeze(model, request)
    return OpenClipTextTower(request, model, tokenizer, preparation, weights, traits)


class OpenClipImageTower(TorchImageTower):
    """The vision half of an open_clip model; pictures are prepared by the model's own evaluation transform."""

    def __init__(
        self,
        info: TowerInfo,
        request: LoadRequest,
        visual: nn.Module,
        preprocess: Callable[[Image], torch.Tensor],
    ) -> None:
        super().__init__(info, request)
        self._visual, self._preprocess = visual, preprocess

    @property
    def model(self) -> Any:
        """The library's model, frozen; for export."""
        return self._visual

    def prepare(self, image: Image) -> torch.Tensor:
        """See `ImageTower`."""
        return self._preprocess(image)

    def _run(self, pixels: torch.Tensor, tokens: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        if tokens:
            return self._with_tokens(pixels)
        return _pooled(self._visual(pixels)), None

    def _with_tokens(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        visual: Any = self._visual
        if isinstance(visual, ModifiedResNet):
            output = visual.forward_intermediates(pixels, indices=1)
            return output["image_features"], output["image_intermediates"][-1].flatten(2).mT
        plain = isinstance(visual, VisionTransformer) and visual.attn_pool is None
        if not plain and not isinstance(visual, TimmModel):
            raise EncoderError(f"{self.info.spec} has no token vectors: its image tower is no plain transformer and no ResNet.")
        output = visual.forward_intermediates(
            pixels, indices=1, normalize_intermediates=True, output_fmt="NLC", output_extra_tokens=True
        )
        states = output["image_intermediates"][-1]
        prefix = output.get("image_intermediates_prefix")
        if prefix is not None and prefix[-1] is not None:
            states = torch.cat([prefix[-1], states], dim=1)
        if plain and visual.proj is not None:
            states = states @ visual.proj
        return output["image_features"], states


class OpenClipTextTower:
    """The text half of an open_clip model, with the tokenizer that its configuration names."""

    def __init__(
        self,
        request: LoadRequest,
        model: Any,
        tokenizer: OpenClipTokenizer,
        preparation: TextPreparation,
        weights: str,
        traits: dict[str, Any],
    ) -> None:
        self._model = model
        self._tokenizer, self._preparation, self._device = tokenizer, preparation, request.device
        self.max_tokens = int(model.context_length)
        probe_language = preparation.language or ("en" if tokenizer.wants_language else "")
        described_as = described(
            preparation,
            lambda text: self._ids([preparation.apply(text)], [probe_language])[0].tolist(),
            library="open_clip",
            tokenizer=tokenizer.name,
            cleaning=tokenizer.cleaning,
            max_length=self.max_tokens,
            padding="max_length",
        )
        probe = self._features(self._ids(["a"], [probe_language]))
        self.info = TowerInfo(
            spec=str(request.spec),
            modality="text",
            dim=probe.shape[1],
            weights=weights,
            preparation=described_as,
            precision=request.precision,
            traits=traits,
        )

    def prepare(self, text: str, lang: str | None = None) -> str:
        """See `TextTower`; shows the tokenizer's own cleaning too."""
        content = self._tokenizer.clean(self._preparation.content(text))
        return self._tokenizer.clean(self._preparation.prefix + content) if content.strip() else ""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `TextTower`."""
        return self._tokenizer.lengths([self._preparation.apply(text) for text in texts])

    def encode(self, texts: Sequence[str], langs: Sequence[str] | None = None, tokens: bool = False) -> Encoded:
        """See `TextTower`."""
        if not texts:
            return empty(self.info.dim, tokens)
        require_text([self.prepare(text) for text in texts], texts)
        prepared = [self._preparation.apply(text) for text in texts]
        ids = self._ids(prepared, langs or [None] * len(texts))
        if not tokens:
            return Encoded(self._normalise(self._features(ids)))
        states: list[torch.Tensor] = []
        handle = self._last_layer().register_forward_hook(lambda _, __, output: states.append(_hidden(output)))
        try:
            pooled = self._features(ids)
        finally:
            handle.remove()
        lengths = self._tokenizer.lengths(prepared)
        return Encoded(self._normalise(pooled), unpadded(states[-1], lengths, self._tokenizer.padding_side))

    def _ids(self, prepared: Sequence[str], langs: Sequence[str | None]) -> torch.Tensor:
        return self._tokenizer.ids(prepared, langs)

    def _features(self, ids: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            features: torch.Tensor = self._model.encode_text(ids.to(self._device))
        return features

    def _normalise(self, features: torch.Tensor) -> Any:
        return normalise_rows(to_float32(features), f"{self.info.spec}: the vector of text")

    def _last_layer(self) -> nn.Module:
        """The module that puts out the last hidden states."""
        text = getattr(self._model, "text", self._model)
        appended_class_token = getattr(text, "cls_emb", None) is not None  # CoCa: normalised after pooling only
        if self._tokenizer.hides_padding or appended_class_token:
            raise EncoderError(f"{self.info.spec} has no token vectors of texts: its text tower appends a class token.")
        layer: nn.Module = text.transformer if isinstance(text, HFTextEncoder) else text.ln_final
        return layer


def _load(spec: EncoderSpec) -> tuple[Any, Callable[[Image], torch.Tensor], str]:
    """Model in float32 on the CPU, its evaluation transform, and the hash of all its weights."""
    name, tag = _model_and_tag(spec)
    _check_names(spec, name, tag)
    with loading(spec, local=_is_local(spec)):
        model, preprocess = open_clip.create_model_from_pretrained(name, pretrained=tag, device="cpu")
    return model, preprocess, weights_hash(model.state_dict())


def _model_and_tag(spec: EncoderSpec) -> tuple[str, str | None]:
    if spec.name.startswith(("hf-hub:", "local-dir:")):
        return spec.name, None
    name, _, tag = spec.name.partition("/")
    return name, tag or None


def _is_local(spec: EncoderSpec) -> bool:
    tag = _model_and_tag(spec)[1]
    return spec.name.startswith("local-dir:") or (tag is not None and Path(tag).is_file())


def _check_names(spec: EncoderSpec, name: str, tag: str | None) -> None:
    if name.startswith("local-dir:"):
        require_folder(spec, name.removeprefix("local-dir:"), "open_clip_config.json")
        return
    if name.startswith("hf-hub:"):
        return
    known = open_clip.list_models()
    if name not in known:
        raise EncoderError(
            f"{spec}: open_clip has no model {name!r}.{suggest(name, known)} "
            "For a folder give open_clip:/path/to/folder, for a hub name open_clip:hf-hub:org/name."
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag is None:
        raise EncoderError(f"{spec}: which weights? Write open_clip:{name}/TAG. Tags: {', '.join(tags) or 'none'}.")
    settings = get_pretrained_cfg(name, tag)
    if not settings and not Path(tag).is_file():
        missing = f"there is no file {tag}" if "/" in tag else f"{name} has no weights {tag!r}.{suggest(tag, tags)}"
        raise EncoderError(f"{spec}: {missing} Tags: {', '.join(tags) or 'none'}.")
    if settings:
        _check_activation(spec, name, tag, bool(settings.get("quick_gelu")))


def _check_activation(spec: EncoderSpec, name: str, tag: str, trained_with_quick_gelu: bool) -> None:
    """open_clip runs weights with whatever activation the model's name says, and only warns."""
    if trained_with_quick_gelu == bool((open_clip.get_model_config(name) or {}).get("quick_gelu")):
        return
    other = f"{name}-quickgelu" if trained_with_quick_gelu else name.removesuffix("-quickgelu")
    logger.warning(
        "%s: these weights were trained %s QuickGELU and %s runs them %s; the vectors are worse than they could be. "
        "Use open_clip:%s/%s.",
        spec,
        "with" if trained_with_quick_gelu else "without",
        name,
        "without" if trained_with_quick_gelu else "with",
        other,
        tag,
    )


def _traits(model: nn.Module) -> dict[str, Any]:
    return {"quick_gelu": any(isinstance(module, QuickGELU) for module in model.modules())}


def _pooled(output: Any) -> torch.Tensor:
    pooled: torch.Tensor = output[0] if isinstance(output, tuple) else output  # CoCa gives (pooled, tokens)
    return pooled


def _hidden(output: Any) -> torch.Tensor:
    states: torch.Tensor = getattr(output, "last_hidden_state", output)
    return states
