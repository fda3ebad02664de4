"""Chat models of transformers that are asked with text alone: causal language models, and image-text-to-text models."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mella_retrieval.encoders.hub import is_local, loading
from mella_retrieval.encoders.image_text_models import identify, is_adapter, load_image_text_model
from mella_retrieval.encoders.mllm_chat import begun_once
from mella_retrieval.encoders.torch_towers import find_device
from mella_retrieval.encoders.transformers_models import (
    Identity,
    identity_of,
    load_weights,
    positions_of,
    read_config,
    resolve_precision,
    revision_argument,
    spec_of,
)
from mella_retrieval.errors import ConfigError, EncoderError

Conversation = Sequence[Mapping[str, Any]]
"""Messages with role and content; contents are texts."""


@dataclass(frozen=True)
class ChatModel:
    """A loaded model.

    Attributes:
        model: of transformers, in eval mode and without gradients.
        tokenizer: its own, with a padding token.
        template: what has the chat template: the tokenizer, or the processor of a model that sees.
        sees: whether its template takes contents in parts.
        device: where it runs.
    """

    model: Any
    tokenizer: Any
    template: Any
    sees: bool
    device: torch.device

    @property
    def positions(self) -> int:
        """Tokens that question and answer may have together."""
        return positions_of(self.model.config) or sys.maxsize

    def lengths(self, conversations: Sequence[Conversation]) -> list[int]:
        """Tokens of each question."""
        return [len(ids) for ids in self._encoded(conversations)["input_ids"]]

    def inputs(self, conversations: Sequence[Conversation]) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, both (n, length), padded on the left."""
        made = self._encoded(conversations, padding=True, padding_side="left", return_tensors="pt")
        return {name: made[name].to(self.device) for name in ("input_ids", "attention_mask")}

    def _encoded(self, conversations: Sequence[Conversation], **arguments: Any) -> Any:
        texts = [self._text(conversation) for conversation in conversations]
        return self.tokenizer(texts, verbose=False, **begun_once(self.tokenizer, texts), **arguments)

    def _text(self, conversation: Conversation) -> str:
        if self.sees:
            conversation = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in conversation]
        arguments: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True}
        if "enable_thinking" in str(self.template.chat_template):  # others warn of what their template does not know
            arguments["enable_thinking"] = False
        return str(self.template.apply_chat_template(conversation, **arguments))


def identify_chat_model(name: str, *, revision: str | None = None, base: str | None = None) -> Identity:
    """Name and fingerprint; arguments as of `image_text_models.identify`.

    Raises:
        EncoderError: there is no such model, or it is none that chats.
    """
    if is_adapter(name) or _sees(name, revision):
        return identify(name, revision=revision, base=base)
    if base:
        raise EncoderError(f"{name} is no adapter, so it has no base {base}.")
    return identity_of(name, revision, read_config(name, revision))


def load_chat_model(
    name: str, *, revision: str | None, base: str | None, device: str, precision: str, quantize: bool
) -> ChatModel:
    """Load a model; arguments and errors as of `load_image_text_model`."""
    if is_adapter(name) or _sees(name, revision):
        arguments: dict[str, Any] = {"device": device, "precision": precision, "base": base, "quantize": quantize}
        loaded = load_image_text_model(name, revision=revision, **arguments)
        return ChatModel(loaded.model, loaded.processor.tokenizer, loaded.processor, True, loaded.device)
    if quantize:
        raise ConfigError(f"{name}: quantize is there for image-text-to-text models alone; precision=bf16 halves the memory.")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec, place = spec_of(name, revision), find_device(device)
    with loading(spec, local=is_local(name)):
        tokenizer = AutoTokenizer.from_pretrained(name, **revision_argument(revision))
    if not tokenizer.chat_template:
        raise EncoderError(f"{spec} has no chat template (chat_template.jinja), so it cannot be asked anything.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = load_weights(AutoModelForCausalLM, name, revision, place, resolve_precision(precision, place))
    return ChatModel(model, tokenizer, tokenizer, False, place)


def _sees(name: str, revision: str | None) -> bool:
    """Whether a model is an image-text-to-text one; else it is a causal one."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    config = read_config(name, revision)
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return True
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not config.is_encoder_decoder:
        return False
    raise EncoderError(
        f"{spec_of(name, revision)} is a model of type {config.model_type!r}, none that chats. A translation model (NLLB, "
        f"M2M100, MADLAD, Marian) is transformers:{name} as a translator."
    )
