"""Tokens per word and unknown tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from mella_retrieval.encoders.legibility import token_statistics
from mella_retrieval.encoders.loading import load_text_tower
from mella_retrieval.errors import EncoderError

MINIMULTI = Path(__file__).resolve().parents[2].parent / "shared" / "models" / "minimulti"


class Reads:
    """A tower whose tokenizer knows single letters of the Latin script."""

    def read_tokens(self, texts):
        return [["▁" if mark == " " else mark if mark.isascii() else None for mark in text] for text in texts]


def test_words_and_letters_of_scripts_without_spaces():
    found = token_statistics(Reads(), ["a cat", "two dogs!"])
    assert (found.texts, found.words, found.letters, found.tokens, found.unknown) == (2, 4, 0, 12, 0)
    assert found.tokens_per_word == 3 and found.unknown_share == 0
    assert token_statistics(Reads(), ["猫と犬"]).words == 3
    assert token_statistics(Reads(), ["ช้าง"]).words == 3  # the tone mark is no letter
    mixed = token_statistics(Reads(), ["Tシャツ ok", "—"])
    assert (mixed.words, mixed.letters) == (5, 3)
    assert mixed.unknown_share == 4 / 7  # the dash too


def test_nothing_to_count_is_not_a_number():
    found = token_statistics(Reads(), [])
    assert found.words == 0
    assert found.tokens_per_word != found.tokens_per_word and found.unknown_share != found.unknown_share


def test_a_loaded_tower_shows_its_tokens_without_special_ones_and_prefix(sentence_folder: Path):
    tower = load_text_tower(f"sentence-transformers:{sentence_folder}?prefix=query: ")
    (row,) = tower.read_tokens(["a dog"])
    assert len(row) + 2 < tower.count_tokens(["a dog"])[0]  # the prefix and the two special tokens are counted there
    assert tower.read_tokens([]) == []
    strange = token_statistics(tower, ["ጥቁር ሰላም"])  # its tokens are bytes: nothing is unknown, and nothing is legible
    assert (strange.unknown, strange.tokens_per_word) == (0, 9)


def test_a_tower_that_does_not_show_its_tokens():
    class Silent:
        class info:
            spec = "module:a:B"

    with pytest.raises(EncoderError, match="module:a:B does not show its tokens"):
        token_statistics(Silent(), ["a"])


@pytest.mark.real
@pytest.mark.skipif(not MINIMULTI.is_dir(), reason="the real tower is not at hand")
def test_a_script_that_the_real_tower_cannot_read():
    tower = load_text_tower(f"sentence-transformers:{MINIMULTI}", device="cpu")
    assert token_statistics(tower, ["ጥቁር ድመት"]).unknown_share == 1
    assert token_statistics(tower, ["a black cat", "черная кошка"]).unknown_share == 0
