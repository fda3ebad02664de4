"""Tokenizers that bring texts to their Unicode form themselves, so that they need none of our code before them."""

from __future__ import annotations

import unicodedata
from typing import Any, Literal, cast

from mella_retrieval.errors import ExportError

Form = Literal["NFC", "NFKC", "NFD", "NFKD", "none"]


def with_unicode_form(tokenizer: Any, form: Form) -> Any:
    """A tokenizer (of transformers or of the `tokenizers` library) that normalises first.

    Those of transformers come back as its plain class: the others, `BertTokenizer` for one, build their own normalisation anew
    when they are loaded.

    Raises:
        ExportError: it is another kind of tokenizer.
    """
    from tokenizers import Tokenizer, normalizers

    if form == "none":
        return tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(backend, Tokenizer):
        raise ExportError(
            f"the text tower's tokenizer ({type(tokenizer).__name__}) cannot hold the Unicode form {form} of its preparation."
        )
    backend = Tokenizer.from_str(backend.to_str())
    first = cast(Any, getattr(normalizers, form))()
    own = backend.normalizer
    backend.normalizer = first if own is None else normalizers.Sequence([first, own])
    return backend if isinstance(tokenizer, Tokenizer) else _plain(tokenizer, backend)


def _plain(tokenizer: Any, backend: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        model_input_names=tokenizer.model_input_names,
        **tokenizer.special_tokens_map,
    )


def require_unicode_form(tokenizer: Any, form: Form) -> None:
    """Check a tokenizer that was written and loaded again.

    Raises:
        ExportError: it takes two spellings of one text for two texts.
    """
    if form == "none":
        return
    text = "é ő ệ Å 각"
    normalizer = getattr(tokenizer, "backend_tokenizer", tokenizer).normalizer
    found = (
        set() if normalizer is None else {normalizer.normalize_str(unicodedata.normalize(each, text)) for each in ("NFC", "NFD")}
    )
    if len(found) != 1:
        raise ExportError(f"the text tower's tokenizer ({type(tokenizer).__name__}) does not keep the Unicode form {form}.")
