"""How a tower's tokenizer reads texts: tokens per word and the share of unknown tokens, to tell a script that it cannot read.

A tower that breaks a language into many tokens, or into unknown ones, cannot be mended by an adapter; recall in that language
should be read with these numbers beside it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mella_retrieval.encoders.towers import TextTower
from mella_retrieval.errors import EncoderError

_SPACELESS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_BOUNDARY = "\u2581\u0120 "  # what sentencepiece and byte-level BPE put where a word begins


@dataclass(frozen=True)
class TokenStatistics:
    """Counts over some texts.

    Attributes:
        texts: how many.
        words: whitespace-separated words; of scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer,
            Burmese, Tibetan) every letter counts as one.
        letters: how many of the words are such letters.
        tokens: without special tokens and without those that only mark the beginning of a word.
        unknown: how many of the tokens are the unknown token.
    """

    texts: int
    words: int
    letters: int
    tokens: int
    unknown: int

    @property
    def tokens_per_word(self) -> float:
        """Tokens per word; NaN where there is no word."""
        return self.tokens / self.words if self.words else float("nan")

    @property
    def unknown_share(self) -> float:
        """Share of unknown tokens, 0 to 1; NaN where there is no token."""
        return self.unknown / self.tokens if self.tokens else float("nan")


def token_statistics(tower: TextTower, texts: Sequence[str]) -> TokenStatistics:
    """Count the words of the texts and the tokens that the tower makes of them, after its text preparation, without its prefix.

    Raises:
        EncoderError: the tower does not show its tokens.
    """
    read = getattr(tower, "read_tokens", None)
    if read is None:
        raise EncoderError(f"{tower.info.spec} does not show its tokens: only towers with a tokenizer of transformers do.")
    rows: list[list[str | None]] = read(texts)
    words, letters = (sum(counts) for counts in zip((0, 0), *map(_words, texts), strict=True))
    tokens = [token for row in rows for token in row if token is None or token.strip(_BOUNDARY)]
    return TokenStatistics(len(texts), words, letters, len(tokens), tokens.count(None))


def tokens_of(tokenizer: Any, contents: Sequence[str]) -> list[list[str | None]]:
    """The tokens of each text, not cut, without special ones; None stands for the unknown token."""
    if not contents:
        return []
    encoded = tokenizer(list(contents), add_special_tokens=False, truncation=False, padding=False, verbose=False)
    unknown = getattr(tokenizer, "unk_token_id", None)
    return [
        [None if number == unknown else token for number, token in zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True)]
        for ids in encoded["input_ids"]
    ]


def _words(text: str) -> tuple[int, int]:
    """Words of a text, and how many of them are letters of a script without spaces."""
    words = letters = 0
    for piece in text.split():
        spaceless = sum(_is_spaceless(character) for character in piece)
        others = any(character.isalnum() and not _is_spaceless(character) for character in piece)
        words += spaceless + others
        letters += spaceless
    return words, letters


@lru_cache(maxsize=1 << 16)
def _is_spaceless(character: str) -> bool:
    name = unicodedata.name(character, "")
    return unicodedata.category(character).startswith("L") and name.split(" ")[0].split("-")[0] in _SPACELESS
