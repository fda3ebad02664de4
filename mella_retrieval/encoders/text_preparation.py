"""What happens to a text before a model reads it. It belongs to the encoder and to its fingerprint.

Each rule below is what the model's authors trained or evaluated with; without it the numbers fall, often silently:

| model | rule |
|---|---|
| SigLIP 2 (transformers) | lower-case, 64 tokens, padded to full length, padding not masked |
| SigLIP (transformers) | lower-case without punctuation, padded to full length, padding not masked |
| open_clip | the cleaning that the tokenizer's configuration names (recorded; SigLIP's strips punctuation) |
| multilingual E5, E5 | the prefix `query: ` on queries and captions alike, since both sides are short texts |
| sentence-transformers | a `query` prompt in the model's own configuration |
| NLLB-CLIP (open_clip) | the language's FLORES-200 code goes to the tokenizer |

Every text is brought to Unicode form NFC first, so that composed and decomposed spellings are one text.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from mella_retrieval.artifacts import fingerprint
from mella_retrieval.errors import EncoderError
from mella_retrieval.recipes import Strict, build_config

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_E5 = re.compile(r"(?:^|[/_-])e5-(?:small|base|large)(?:-v2)?(?:$|/)")

# Fixed sentences in several scripts, with capitals, punctuation and spaces to trip over. Changing one changes every
# fingerprint of a text tower.
_PROBES = (
    "A photo of a cat.",
    "  Two DOGS,  one frisbee_disc!? ",
    "Egy kakas és néhány tyúk az udvaron",
    "Ћирилица и latinica заједно",
    "صورة قِطّة",
    "กระเป๋าเดินทาง 3 ใบ",
    "개와 고양이",
    "İstanbul’da vapur — 42 €",
)


class TextPreparation(Strict):
    """How a text is prepared; the fields are applied in this order.

    Attributes:
        unicode: normalisation form, or `none`.
        max_characters: what stands behind so many characters is dropped; far more than `max_length` tokens hold,
            it only keeps slow tokenizers from minutes over a text of 100,000 characters.
        lower_case: lower-case the text.
        canonicalise: lower-case, without ASCII punctuation, single spaces (big_vision's `canonicalize_text` as
            transformers' SiglipTokenizer has it: `_` goes too).
        prefix: put before the text.
        max_length: tokens that the model reads, special tokens included; None: the model's own limit.
        padding: pad to the longest text of the batch or always to `max_length`.
        mask_padding: whether the model is told what is padding.
        language: FLORES-200, ISO or BCP-47 code for texts that come without one, where the tokenizer wants it.
    """

    unicode: Literal["NFC", "NFKC", "NFD", "NFKD", "none"] = "NFC"
    max_characters: int | None = Field(default=None, gt=0)
    lower_case: bool = False
    canonicalise: bool = False
    prefix: str = ""
    max_length: int | None = Field(default=None, gt=0)
    padding: Literal["longest", "max_length"] = "longest"
    mask_padding: bool = True
    language: str = ""

    def content(self, text: str) -> str:
        """The prepared text without its prefix."""
        if self.unicode != "none":
            text = unicodedata.normalize(self.unicode, text)
        if self.max_characters is not None:
            text = text[: self.max_characters]
        if self.lower_case or self.canonicalise:
            text = text.lower()
        if self.canonicalise:
            text = " ".join(text.translate(_PUNCTUATION).split())
        return text

    def apply(self, text: str) -> str:
        """The prepared text with its prefix; "" where the preparation leaves nothing but the prefix."""
        content = self.content(text)
        return self.prefix + content if content.strip() else ""

    def override(self, options: Mapping[str, str], spec: object) -> TextPreparation:
        """A copy with the options of a spec (values as text).

        Raises:
            ConfigError: a value does not fit its field; `spec` is named.
        """
        if not options:
            return self
        return build_config(TextPreparation, {**self.model_dump(), **options}, f"the options of {spec}")


SIGLIP2 = TextPreparation(lower_case=True, max_length=64, padding="max_length", mask_padding=False)
SIGLIP = TextPreparation(canonicalise=True, padding="max_length", mask_padding=False)
E5 = TextPreparation(prefix="query: ")


def for_transformers(model_type: str, tokenizer: str, context_length: int) -> TextPreparation:
    """The rule of a dual encoder in transformers.

    SigLIP 2 of fixed resolution calls itself `siglip` in its configuration; what tells it from SigLIP is the tokenizer,
    Gemma's instead of a T5-like one.
    """
    if model_type == "siglip2" or (model_type == "siglip" and tokenizer.startswith(("Gemma", "Siglip2"))):
        return SIGLIP2.model_copy(update={"max_length": min(64, context_length)})
    if model_type == "siglip":
        return SIGLIP.model_copy(update={"max_length": context_length})
    return TextPreparation(max_length=context_length)


def for_sentence_transformers(name: str, prompts: Mapping[str, str | None], prompt: str | None) -> TextPreparation:
    """The rule of a sentence encoder: the prompt asked for, else its own `query` prompt, else E5's prefix by name.

    Raises:
        EncoderError: the model has no prompt of that name.
    """
    if prompt is not None:
        if prompts.get(prompt) is None:
            raise EncoderError(f"{name} has no prompt {prompt!r}; it has: {', '.join(sorted(prompts)) or 'none'}.")
        return TextPreparation(prefix=prompts[prompt] or "")
    if own := prompts.get("query"):
        return TextPreparation(prefix=own)
    return E5 if _E5.search(name.lower()) else TextPreparation()


def described(preparation: TextPreparation, tokenize: Callable[[str], Sequence[int]], **more: Any) -> dict[str, Any]:
    """The preparation as a tower's info carries it.

    `tokenize` (raw text to token ids, through everything that the tower does) is run over fixed sentences; the hash of
    what comes out stands in the result, so that another tokenizer, or one that behaves otherwise, shows.
    """
    probe = fingerprint([[int(token) for token in tokenize(text)] for text in _PROBES])
    return {**preparation.model_dump(mode="json"), **more, "probe": probe[:16]}


def require_text(prepared: Sequence[str], originals: Sequence[str]) -> None:
    """Refuse texts of which the preparation left nothing.

    Raises:
        EncoderError: names the position and the original text.
    """
    for position, text in enumerate(prepared):
        if not text:
            original = originals[position]
            shown = repr(original if len(original) <= 40 else original[:40] + "...")
            raise EncoderError(f"text {position} of {len(prepared)} ({shown}) is empty after the text preparation.")
