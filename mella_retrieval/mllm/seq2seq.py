"""Translation models of transformers (sequence to sequence): NLLB, M2M100, MADLAD, Marian."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from pydantic import Field

from mella_retrieval.artifacts import fingerprint
from mella_retrieval.data.ling.contracts import Failed
from mella_retrieval.data.ling.plugins import Request
from mella_retrieval.encoders.hub import is_local, loading
from mella_retrieval.encoders.torch_towers import empty_cache, find_device
from mella_retrieval.encoders.transformers_models import (
    identity_of,
    load_weights,
    read_config,
    resolve_precision,
    revision_argument,
    spec_of,
)
from mella_retrieval.errors import EncoderError, ending_the_work
from mella_retrieval.languages import Language
from mella_retrieval.mllm.language_tokens import LanguageTokens, Told
from mella_retrieval.mllm.long_texts import Piece, Unit, divide, join
from mella_retrieval.recipes import Strict, build_config

_USUAL = 512
"""Tokens that are read at a time where the model names no limit (MADLAD)."""
_NO_LIMIT = 1_000_000
"""Tokenizers without a limit have a huge number in its place."""


class Seq2SeqOptions(Strict):
    """Options of a spec.

    Attributes:
        beams: of the search; 1 is greedy.
        unit: `sentence` translates each sentence by itself, as these models were trained; `text` only what does not fit.
        max_source_tokens: at a time, if fewer than the model can read.
        max_new_tokens: longest translation of a sentence; one that reaches it is a failure, not a shorter translation.
        revision: of a hub model.
        device, precision: see `load_image_text_model`.
    """

    beams: int = Field(default=4, ge=1, le=32)
    unit: Unit = "sentence"
    max_source_tokens: int | None = Field(default=None, ge=1)
    max_new_tokens: int = Field(default=512, ge=1)
    revision: str | None = None
    device: str | None = None
    precision: str | None = None


_NOT_SAID = {"device", "precision", "revision"}


class Seq2SeqTranslator:
    """See `Translator`. What the tokenizer knows of languages decides how the model is told about them."""

    prompts: tuple[str, ...] = ()

    def __init__(self, request: Request, device: str = "auto", precision: str = "auto") -> None:
        self._options = build_config(Seq2SeqOptions, request.options, repr(request.spec))
        self._place = find_device(self._options.device or device)
        self._precision = resolve_precision(self._options.precision or precision, self._place)
        self._model_name, revision = request.name, self._options.revision
        self._config = read_config(request.name, revision)
        self._require_seq2seq()
        identity = identity_of(request.name, revision, self._config)
        named = {name: value for name, value in request.options.items() if name not in _NOT_SAID}
        self.name = Request(request.kind, identity.name, named).spec
        said = self._options.model_dump(exclude=_NOT_SAID)
        self.fingerprint = fingerprint({"model": identity.fingerprint, "precision": self._precision, **said})
        self._model: Any = None
        self._ended = False  # once a translation had an end, one without is the fault of its text

    def require(self, source: Language, target: Language) -> None:
        """See `Translator`.

        Raises:
            DataError: it does not know one of the languages. EncoderError: its tokenizer names no languages.
        """
        self._languages.require(source, target, self.name)

    def translate(self, texts: Sequence[str], source: Language, target: Language) -> Sequence[str | Failed]:
        """See `Translator`; as many sentences at a time as there are texts."""
        told = self._languages.told(source, target)
        if told.source:
            self._tokenizer.src_lang = told.source
        divided = divide(texts, self._options.unit, lambda some: self._lengths(some, told), self._limit)
        pieces = [found for found in divided if not isinstance(found, Failed)]
        translated = dict(self._all([piece for found in pieces for piece in found], told, max(len(texts), 1)))
        return [found if isinstance(found, Failed) else join(found, translated, target) for found in divided]

    def close(self) -> None:
        """See `Translator`."""
        self._model = None
        empty_cache()

    def _require_seq2seq(self) -> None:
        from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING

        if type(self._config) not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
            raise EncoderError(
                f"{self._model_name} is a model of type {self._config.model_type!r}, no translation model (sequence to "
                f"sequence). A chat model translates as chat:{self._model_name}."
            )

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        spec = spec_of(self._model_name, self._options.revision)
        with loading(spec, local=is_local(self._model_name)):
            return AutoTokenizer.from_pretrained(self._model_name, **revision_argument(self._options.revision))

    @cached_property
    def _languages(self) -> LanguageTokens:
        found = LanguageTokens(self._tokenizer)
        if not found.family:
            raise EncoderError(
                f"{self.name}: its tokenizer ({type(self._tokenizer).__name__}) names no languages, so it cannot be told what to "
                "translate into. Known are those of NLLB, M2M100, MADLAD and Marian."
            )
        return found

    @cached_property
    def _limit(self) -> int:
        """Tokens of a piece, with those that the tokenizer adds."""
        limits = [getattr(self._config, "max_position_embeddings", None), self._tokenizer.model_max_length]
        known = [int(limit) for limit in limits if limit and limit < _NO_LIMIT]
        return min([*known, self._options.max_source_tokens or _NO_LIMIT]) if known else self._options.max_source_tokens or _USUAL

    def _lengths(self, texts: Sequence[str], told: Told) -> list[int]:
        return [len(ids) for ids in self._tokenizer([told.prefix + text for text in texts], verbose=False)["input_ids"]]

    def _all(self, pieces: Sequence[Piece], told: Told, batch: int) -> Iterator[tuple[str, str | Failed]]:
        """Each different text with its translation; those of about one length together."""
        different = list(dict.fromkeys(piece.text for piece in pieces))
        lengths = dict(zip(different, self._lengths(different, told), strict=True)) if different else {}
        ordered = sorted(different, key=lambda text: (lengths[text], text))
        for start in range(0, len(ordered), batch):
            some = ordered[start : start + batch]
            yield from zip(some, self._batch(some, told), strict=True)

    def _batch(self, texts: Sequence[str], told: Told) -> list[str | Failed]:
        model, tokenizer = self._loaded(), self._tokenizer
        inputs = tokenizer([told.prefix + text for text in texts], padding=True, return_tensors="pt").to(self._place)
        settings = copy.deepcopy(model.generation_config)
        settings.update(
            do_sample=False,
            num_beams=self._options.beams,
            max_length=None,
            max_new_tokens=self._room(settings),
            forced_bos_token_id=tokenizer.convert_tokens_to_ids(told.first) if told.first else None,
            forced_eos_token_id=None,  # it would hide that there is no end
        )
        with torch.inference_mode():
            tokens = model.generate(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], generation_config=settings
            )
        return [self._written(row, settings) for row in tokens[:, 1:].tolist()]

    def _room(self, settings: Any) -> int:
        positions = getattr(self._config, "max_position_embeddings", None) or _NO_LIMIT
        return min(self._options.max_new_tokens, int(positions) - 1)

    def _written(self, row: list[int], settings: Any) -> str | Failed:
        ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
        start = 1 if settings.forced_bos_token_id is not None else 0
        end = next((place for place, token in enumerate(row) if place >= start and token in ends), None)
        if end is None:
            return Failed(f"the translation of a sentence has no end within {settings.max_new_tokens} tokens", own=self._ended)
        self._ended = True
        return str(self._tokenizer.decode(row[start:end], skip_special_tokens=True)).strip()

    def _loaded(self) -> Any:
        if self._model is None:
            from transformers import AutoModelForSeq2SeqLM

            with ending_the_work():
                self._model = load_weights(
                    AutoModelForSeq2SeqLM, self._model_name, self._options.revision, self._place, self._precision
                )
        return self._model
