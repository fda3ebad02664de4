"""open_clip's tokenizers behind one face: token ids, untruncated lengths, cleaning, languages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer, basic_clean, canonicalize_text

from mella_retrieval.errors import DataError, EncoderError
from mella_retrieval.languages import get


class OpenClipTokenizer:
    """One of open_clip's three tokenizers.

    Attributes:
        name: its class.
        cleaning: the cleaning that its configuration names (`lower`, `whitespace`, `canonicalize`).
        clean: that cleaning; the tokenizer applies it itself.
        wants_language: whether it puts a language token before or behind the text (NLLB-CLIP).
        slow: whether its time grows with the square of a word's length.
    """

    def __init__(self, tokenizer: Any, default_language: str, spec: object) -> None:
        self._tokenizer, self._spec = tokenizer, spec
        self.name = type(tokenizer).__name__
        self.clean: Callable[[str], str] = getattr(tokenizer, "clean_fn", None) or _siglip_clean
        self.cleaning = getattr(self.clean, "__name__", "").removeprefix("_clean_") or "other"
        self.wants_language = hasattr(tokenizer, "set_lang_fn")
        self.slow = isinstance(tokenizer, SimpleTokenizer)
        self._default = default_language
        self._lock = threading.Lock()  # the language is a state of the tokenizer

    @property
    def padding_side(self) -> str:
        """Where padding stands, `right` or `left`."""
        return getattr(getattr(self._tokenizer, "tokenizer", None), "padding_side", "right")

    @property
    def hides_padding(self) -> bool:
        """Whether a class token behind the padding (open_clip's mode `clips`) hides where a text ends."""
        return getattr(self._tokenizer, "tokenizer_mode", "") == "clips"

    def ids(self, texts: Sequence[str], langs: Sequence[str | None]) -> torch.Tensor:
        """Token ids, shape (n, context length), cut and padded.

        Raises:
            EncoderError: the tokenizer wants languages and has not got them, or does not know one.
        """
        if not self.wants_language:
            return self._call(texts)
        rows: list[torch.Tensor | None] = [None] * len(texts)
        codes = [self._flores(lang or self._default) for lang in langs]
        with self._lock:
            for code in sorted(set(codes)):
                positions = [position for position, other in enumerate(codes) if other == code]
                self._set_language(code)
                for position, row in zip(positions, self._call([texts[p] for p in positions]), strict=True):
                    rows[position] = row
        return torch.stack([row for row in rows if row is not None])

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text before it is cut, special tokens included."""
        if isinstance(self._tokenizer, SimpleTokenizer):
            return [len(self._tokenizer.encode(text)) + 2 for text in texts]
        if not texts:
            return []
        cleaned = [self.clean(text) for text in texts]
        encoded = self._tokenizer.tokenizer(cleaned, truncation=False, padding=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def _call(self, texts: Sequence[str]) -> torch.Tensor:
        ids: torch.Tensor = self._tokenizer(list(texts))
        return ids

    def _set_language(self, code: str) -> None:
        self._tokenizer.set_language(code)
        inner = self._tokenizer.tokenizer
        if hasattr(inner, "src_lang"):  # transformers 5 goes back to `src_lang` whenever the tokenizer is called
            inner.src_lang = code

    def _flores(self, language: str) -> str:
        if not language:
            raise EncoderError(
                f"{self._spec} wants the language of every text: give the texts' languages (--lang), or add "
                f"'?language=hu' to the spec."
            )
        try:
            code = get(language).flores
        except DataError as error:
            raise EncoderError(f"{self._spec}: {error}") from None
        inner = self._tokenizer.tokenizer
        if not code or inner.convert_tokens_to_ids(code) in (None, inner.unk_token_id):
            raise EncoderError(f"{self._spec}: its tokenizer has no token for the language {language!r} ({code or '-'}).")
        return code


def _siglip_clean(text: str) -> str:
    """What SigLipTokenizer does to every text."""
    cleaned: str = canonicalize_text(basic_clean(text))
    return cleaned
