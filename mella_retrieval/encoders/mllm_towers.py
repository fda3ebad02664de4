"""Multimodal language models as towers: a picture or a text is asked about in the model's own chat, and what the model has in
mind before it answers is the vector.

The question asks for one word, as E5-V does (arXiv 2407.12580): the state from which that word would be written sums up the
whole input, and that of a picture and that of a text are of one kind. Models that were not trained for this give usable but
narrow vectors; adapters centre them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import pad

from mella_retrieval.encoders.image_text_models import ImageTextModel, load_image_text_model
from mella_retrieval.encoders.legibility import tokens_of
from mella_retrieval.encoders.mllm_chat import IMAGE_PROMPT, TEXT_PROMPT, Chat
from mella_retrieval.encoders.picture_limits import Limits, limit_patches
from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.encoders.text_preparation import TextPreparation, described, require_text
from mella_retrieval.encoders.torch_towers import LoadRequest, empty, to_float32
from mella_retrieval.encoders.towers import Encoded, Float32, ImageTower, TextTower, TowerInfo, normalise_rows
from mella_retrieval.encoders.transformers_models import positions_of
from mella_retrieval.errors import ConfigError, DataError, EncoderError
from mella_retrieval.recipes import build_config, suggest

POOLS: Mapping[str, str] = {
    "last": "the state of the last token, from which the model would begin its answer",
    "answer": "the mean over the tokens with which the chat opens the answer",
    "mean": "the mean over all tokens",
}
"""How one vector is made of the last hidden states."""

LONGEST = 512
"""Tokens of a text that are read unless `max_length` says otherwise."""

Inputs = Mapping[str, Tensor]


def load_image(request: LoadRequest) -> ImageTower:
    """Load the model as an image tower; see `loading.load_image_tower`."""
    return MllmImageTower(request, _load(request), _pool(request.spec))


def load_text(request: LoadRequest) -> TextTower:
    """Load the model as a text tower; see `loading.load_text_tower`."""
    return MllmTextTower(request, _load(request), _pool(request.spec))


class MllmImageTower:
    """Reads pictures: the states of the whole question are pooled; token vectors are those of the picture's own tokens."""

    def __init__(self, request: LoadRequest, loaded: ImageTextModel, pool: str) -> None:
        spec = request.spec
        sizes = {name: spec.options[name] for name in Limits.model_fields if name in spec.options}
        self._limits = build_config(Limits, sizes, f"the options of {spec}")
        self._states = _States(loaded, pool, spec)
        self._chat = Chat(loaded.processor, spec)
        self._prompt = spec.options.get("prompt", IMAGE_PROMPT)
        self._image_token = _image_token(loaded.model.config)
        preparation = {"library": "transformers", "prompt": self._prompt, **self._limits.model_dump()}
        preparation |= _limit_patches(spec, loaded.processor)
        self.info = _info(request, loaded, "image", pool, preparation)
        self._limit = positions_of(loaded.model.config)
        self._answer = len(self._chat.opening)

    def prepare(self, image: Image) -> Inputs:
        """What the model's processor makes of the question about one picture.

        Raises:
            DataError: it refuses the picture, or makes more tokens of it than the model reads.
        """
        size = f"{image.width} x {image.height} pixels"
        shown = self._limits.apply(image if image.mode == "RGB" else image.convert("RGB"))
        try:
            inputs = self._chat.about_picture(shown, self._prompt)
        except ValueError as error:
            raise DataError(f"the model's processor does not take a picture of {size}: {error}") from error
        if self._limit and (length := inputs["input_ids"].shape[1]) > self._limit:
            raise DataError(
                f"a picture of {size} is {length} tokens, and the model has {self._limit} positions; "
                "set a smaller max_pixels, or max_patches of a model that cuts tiles."
            )
        return inputs

    def encode(self, batch: Sequence[Inputs], tokens: bool = False) -> Encoded:
        """See `ImageTower`; pictures of unlike shapes may stand in one batch."""
        if not batch:
            return empty(self.info.dim, tokens)
        token = self._image_token
        if tokens and token is None:
            raise EncoderError(f"{self.info.spec} has no token vectors: this model does not read pictures as tokens.")
        keep = [inputs["input_ids"][0].eq(token) for inputs in batch] if tokens and token is not None else None
        return self._states.encode(batch, [self._answer] * len(batch), keep, "picture")


class MllmTextTower:
    """Reads texts, each within the question about it; token vectors are those of the text's own tokens.

    A text is tokenised apart from the chat around it, so that marks of the chat that stand in it are read as letters.
    """

    def __init__(self, request: LoadRequest, loaded: ImageTextModel, pool: str) -> None:
        spec = request.spec
        self._states = _States(loaded, pool, spec)
        self._chat = Chat(loaded.processor, spec)
        self._tokenizer = loaded.processor.tokenizer
        prompt = spec.options.get("text_prompt", TEXT_PROMPT)
        self._head, self._tail = self._chat.around_text(prompt)
        positions, around = positions_of(loaded.model.config) or LONGEST * 2, len(self._head) + len(self._tail)
        room = positions - around
        if room < 1:
            raise EncoderError(
                f"{spec}: the prompt has {around} tokens, and the model has {positions} positions for it and a text."
            )
        self._preparation = TextPreparation(max_length=min(LONGEST, room)).override(spec.text_options, spec)
        self.max_tokens = int(self._preparation.max_length or 0)
        if self.max_tokens > room:
            raise EncoderError(f"{spec}: max_length {self.max_tokens} is more than the {room} positions that the prompt leaves.")
        preparation = described(
            self._preparation,
            lambda text: self._ids([self._preparation.apply(text)])[0],
            library="transformers",
            tokenizer=type(self._tokenizer).__name__,
            prompt=prompt,
        )
        self.info = _info(request, loaded, "text", pool, preparation)

    def prepare(self, text: str, lang: str | None = None) -> str:
        """See `TextTower`; the prompt is not part of it."""
        return self._preparation.apply(text)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `TextTower`; the prompt is not counted."""
        return [len(ids) for ids in self._chat.plain([self.prepare(text) for text in texts])]

    def read_tokens(self, texts: Sequence[str]) -> list[list[str | None]]:
        """The tokens of each text, see `legibility.tokens_of`."""
        return tokens_of(self._tokenizer, [self._preparation.content(text) for text in texts])

    def encode(self, texts: Sequence[str], langs: Sequence[str] | None = None, tokens: bool = False) -> Encoded:
        """See `TextTower`."""
        if not texts:
            return empty(self.info.dim, tokens)
        prepared = [self.prepare(text) for text in texts]
        require_text(prepared, texts)
        rows = [torch.tensor([ids]) for ids in self._ids(prepared)]
        batch = [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in rows]
        first, last = len(self._head), len(self._tail)
        keep = [_between(row.shape[1], first, last) for row in rows] if tokens else None
        return self._states.encode(batch, [len(self._chat.opening)] * len(batch), keep, "text")

    def _ids(self, prepared: Sequence[str]) -> list[list[int]]:
        return [[*self._head, *ids[: self.max_tokens], *self._tail] for ids in self._chat.plain(prepared)]


class _States:
    """Runs the model without its output layer and pools the last hidden states, behind the last norm."""

    def __init__(self, loaded: ImageTextModel, pool: str, spec: EncoderSpec) -> None:
        self._model = loaded.model.base_model
        if self._model is loaded.model:
            raise EncoderError(f"{spec}: models of type {loaded.model.config.model_type!r} do not show their hidden states.")
        self._device, self._dtype = loaded.model.device, loaded.model.dtype
        self._padding = loaded.processor.tokenizer.pad_token_id or 0
        self._pool, self._spec = pool, spec

    def encode(self, items: Sequence[Inputs], answers: Sequence[int], keep: Sequence[Tensor] | None, what: str) -> Encoded:
        """Vectors of some inputs of one row each, in their order.

        Args:
            items: inputs of the model.
            answers: how many tokens at the end of each open the answer.
            keep: (length,) for each, which tokens' vectors are wanted; None: no token vectors.
            what: `picture` or `text`, for messages.
        """
        vectors: dict[int, Float32] = {}
        tokens: dict[int, Float32] = {}
        for rows in _alike(items):
            batch = collate([items[row] for row in rows], self._padding)
            states = self._run(batch)
            mask = batch["attention_mask"].to(states.device)
            sums = pool_states(states, mask, self._pool, torch.tensor([answers[row] for row in rows]))
            vectors |= zip(rows, to_float32(sums), strict=True)
            if keep is not None:
                for place, row in enumerate(rows):
                    tokens[row] = to_float32(states[place, : len(keep[row])][keep[row].to(states.device)])
        pooled = normalise_rows([vectors[row] for row in range(len(items))], f"{self._spec}: the vector of {what}")
        return Encoded(pooled, None if keep is None else [tokens[row] for row in range(len(items))])

    def _run(self, batch: Inputs) -> Tensor:
        there = {
            name: value.to(self._device, self._dtype if value.is_floating_point() else None) for name, value in batch.items()
        }
        with torch.inference_mode():
            states: Tensor = self._model(**there, use_cache=False).last_hidden_state
        return states


def pool_states(states: Tensor, mask: Tensor, pool: str, answers: Tensor) -> Tensor:
    """One vector (n, d), in float32, of hidden states (n, length, d), whichever side is padded.

    Args:
        states: of the last layer.
        mask: (n, length), not 0 on real tokens, which stand together.
        pool: one of `POOLS`.
        answers: (n,) how many of the last real tokens open the answer.
    """
    real = mask.bool()
    behind = real.flip(1).cumsum(1).flip(1)  # number of real tokens from here to the end
    chosen = {"last": real & (behind == 1), "answer": real & (behind <= answers.to(mask.device)[:, None]), "mean": real}[pool]
    weights = chosen.to(torch.float32)
    zeroed = torch.where(chosen[:, :, None], states.float(), 0.0)  # states of padding may be anything, NaN too
    return zeroed.sum(1) / weights.sum(1, keepdim=True)


def collate(items: Sequence[Inputs], padding: int) -> dict[str, Tensor]:
    """One batch of inputs of one row each: what has a value per token is padded on the right, all else stands one after another.

    On the right, because a language model looks back only: there padding cannot change anything.
    """
    longest = max(item["input_ids"].shape[1] for item in items)
    batch = {}
    for name in items[0]:
        values = [item[name] for item in items]
        if all(value.shape == item["input_ids"].shape for value, item in zip(values, items, strict=True)):
            fill = padding if name == "input_ids" else 0
            values = [pad(value, (0, longest - value.shape[1]), value=fill) for value in values]
        batch[name] = torch.cat(values)
    return batch


def _alike(items: Sequence[Inputs]) -> list[list[int]]:
    """Rows that can be one batch: where models cut pictures into tiles of their own, their number differs."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        length = item["input_ids"].shape
        groups[tuple((name, value.shape[1:]) for name, value in sorted(item.items()) if value.shape != length)].append(row)
    return list(groups.values())


def _between(length: int, first: int, last: int) -> Tensor:
    place = torch.arange(length)
    return (place >= first) & (place < length - last)


def _load(request: LoadRequest) -> ImageTextModel:
    options = request.spec.options
    return load_image_text_model(
        request.spec.name,
        revision=options.get("revision"),
        base=options.get("base"),
        device=str(request.device),
        precision=request.precision,
    )


def _pool(spec: EncoderSpec) -> str:
    name = spec.options.get("pool", "last")
    if name not in POOLS:
        known = "; ".join(f"{key}, {what}" for key, what in POOLS.items())
        raise ConfigError(f"{spec}: unknown pool {name!r}.{suggest(name, POOLS)} Known: {known}.")
    return name


def _info(request: LoadRequest, loaded: ImageTextModel, modality: Any, pool: str, preparation: dict[str, Any]) -> TowerInfo:
    return TowerInfo(
        spec=str(request.spec),
        modality=modality,
        dim=int(loaded.model.config.get_text_config().hidden_size),
        weights=loaded.fingerprint,
        preparation=preparation,
        precision=request.precision,
        traits={"pool": pool},
    )


def _limit_patches(spec: EncoderSpec, processor: Any) -> dict[str, int]:
    """Set the spec's largest number of tiles in the image processor, and return it as it is described."""
    if (text := spec.options.get("max_patches")) is None:
        return {}
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"{spec}: max_patches must be a whole number above 0, not {text!r}.")
    limit_patches(processor, int(text), str(spec))
    return {"max_patches": int(text)}


def _image_token(config: Any) -> int | None:
    """The token that stands for a piece of a picture."""
    for name in ("image_token_id", "image_token_index"):
        if isinstance(token := getattr(config, name, None), int):
            return token
    return None
