"""Pictures described by an image-text-to-text model of transformers on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from pydantic import Field

from mella_retrieval.artifacts import fingerprint
from mella_retrieval.data.ling.contracts import Ask, Failed, Picture
from mella_retrieval.data.ling.plugins import Request
from mella_retrieval.encoders.image_text_models import (
    ImageTextModel,
    identify,
    load_image_text_model,
)
from mella_retrieval.encoders.mllm_chat import begun_once
from mella_retrieval.encoders.picture_limits import Limits, limit_patches
from mella_retrieval.encoders.specs import is_path
from mella_retrieval.encoders.torch_towers import empty_cache, find_device
from mella_retrieval.encoders.transformers_models import positions_of, resolve_precision
from mella_retrieval.errors import ConfigError, ending_the_work
from mella_retrieval.mllm.captioners import Remarks, different, image_of, messages
from mella_retrieval.mllm.decoding import Decoding, Written, decoding_of, draw_of
from mella_retrieval.mllm.generation import write
from mella_retrieval.recipes import build_config


class LocalOptions(Decoding, Limits):
    """Options of a spec, beside those of decoding and the sizes of pictures.

    Attributes:
        revision: of a hub model.
        base: of a PEFT adapter: hub name or folder; by default the one that its configuration names.
        device, precision, quantize: see `load_image_text_model`.
        images: whether the model sees the picture; without it what it has learnt by heart shows.
        system: a message before the question.
        max_patches: tiles of a picture, for models that cut pictures into tiles (InternVL); 0 leaves what the model has.
    """

    revision: str | None = None
    base: str | None = None
    device: str | None = None
    precision: str | None = None
    quantize: bool = False
    images: bool = True
    system: str = ""
    max_patches: int = Field(default=0, ge=0)


# What decides no answer, or stands in the fingerprint in another form.
_NOT_SAID = {"device", "precision", "base", "revision"}


class LocalCaptioner:
    """See `Captioner`. Attributes: decoding: how answers are made; two arms are comparable only if it is the same."""

    def __init__(self, request: Request, device: str = "auto", precision: str = "auto") -> None:
        options = build_config(LocalOptions, request.options, repr(request.spec))
        self._options, self._model_name = options, request.name
        self._device = options.device or device
        self._precision = resolve_precision(options.precision or precision, find_device(self._device))
        self._identity = identify(request.name, revision=options.revision, base=options.base)
        self._model: ImageTextModel | None = None
        self.decoding = decoding_of(request.options, repr(request.spec))
        self.reads_pictures = options.images
        self.name = _name(request, self._identity.name)
        said = options.model_dump(exclude=_NOT_SAID)
        self.fingerprint = fingerprint({"model": self._identity.fingerprint, "precision": self._precision, **said})
        self._remarks = Remarks(self.name, self.decoding)

    def prepare(self, image: Image) -> Image:
        """The picture within the limits of size."""
        return self._options.apply(image)

    def describe(self, pictures: Sequence[Picture], ask: Ask) -> Sequence[Sequence[str] | Failed]:
        """See `Captioner`; one prompt after the other, so that a batch of pictures is what the model holds at once."""
        found: list[list[str] | Failed] = [[] for _ in pictures]
        views = different(ask, self.decoding.greedy)
        self._remarks.asked, self._remarks.wanted = len(views), len(ask.prompts)
        for view in views:
            for number, text in enumerate(self._view(pictures, ask, view)):
                before = found[number]
                if isinstance(text, Failed) or isinstance(before, Failed):
                    found[number] = text if isinstance(text, Failed) else before
                else:
                    before.append(text)
        return found

    def close(self) -> None:
        """See `Captioner`."""
        self._remarks.say()
        if self._model is not None:
            self._model = None
            empty_cache()

    def _view(self, pictures: Sequence[Picture], ask: Ask, view: int) -> list[str | Failed]:
        """Answers to one prompt about each picture; what is too long for the model is asked of nobody."""
        loaded = self._loaded()
        inputs = self._inputs(loaded, pictures, ask.prompts[view])
        room = self._room(loaded.model)
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        fits = [length <= room for length in lengths]
        if all(fits):
            draws = [draw_of(ask.seed, (picture.image_id, view)) for picture in pictures]
            return self._counted(write(loaded.model, loaded.processor.tokenizer, inputs, self.decoding, draws))
        shorter = iter(self._view([one for one, fit in zip(pictures, fits, strict=True) if fit], ask, view) if any(fits) else ())
        return [
            next(shorter) if fit else Failed(f"the question has {length} tokens with its picture, the model has room for {room}")
            for fit, length in zip(fits, lengths, strict=True)
        ]

    def _room(self, model: Any) -> int:
        """Tokens that a question may have, with its picture."""
        limit = positions_of(model.config) or sys.maxsize
        if limit <= self.decoding.max_new_tokens:
            raise ConfigError(f"{self.name}: the model has {limit} positions, which max_new_tokens alone would fill.")
        return limit - self.decoding.max_new_tokens

    def _counted(self, answers: Sequence[Written]) -> list[str | Failed]:
        self._remarks.cut += sum(answer.cut for answer in answers)
        return [answer.text for answer in answers]

    def _inputs(self, loaded: ImageTextModel, pictures: Sequence[Picture], prompt: str) -> Mapping[str, torch.Tensor]:
        processor, options = loaded.processor, self._options
        conversation = messages(prompt, options.system, {"type": "image"} if options.images else None)
        text = processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        further: dict[str, Any] = dict(begun_once(processor.tokenizer, [text]))
        if options.images:
            further["images"] = [[options.apply(image_of(picture))] for picture in pictures]
        made = processor(text=[text] * len(pictures), padding=True, padding_side="left", return_tensors="pt", **further)
        inputs: Mapping[str, torch.Tensor] = made.to(loaded.device, loaded.model.dtype)  # floating point alone is cast
        return inputs

    def _loaded(self) -> ImageTextModel:
        if self._model is None:
            options = self._options
            with ending_the_work():
                loaded = load_image_text_model(
                    self._model_name,
                    revision=options.revision,
                    device=self._device,
                    precision=self._precision,
                    base=options.base,
                    quantize=options.quantize,
                )
            limit_patches(loaded.processor, options.max_patches, self.name)
            self._model = loaded
        return self._model


def _name(request: Request, model: str) -> str:
    """The spec as records carry it: with what the answers depend on, and without where anything lies on this machine."""
    options = {name: value for name, value in request.options.items() if name not in {"device", "precision", "revision"}}
    if base := options.get("base"):
        options["base"] = Path(base).name if is_path(base) or Path(base).is_dir() else base
    return Request(request.kind, model, options).spec
