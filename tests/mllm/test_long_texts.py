"""Long texts in pieces: nothing is lost on the way, and what does not fit is a failure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval import languages
from mella_retrieval.data.ling.contracts import Failed
from mella_retrieval.mllm.long_texts import Piece, Unit, divide, join

HU, ZH, TH = map(languages.get, ("hu", "zh", "th"))


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_sentences_are_translated_one_by_one_and_lines_stay():
    (pieces,) = divide(["One two. Three!\n\n Four five?  Six"], "sentence", words, 2)
    assert pieces == [Piece("One two."), Piece("Three!", "\n\n"), Piece("Four five?"), Piece("Six")]
    assert not isinstance(pieces, Failed)
    assert join(pieces, {piece.text: piece.text.lower() for piece in pieces}, HU) == "one two. three!\n\nfour five? six"
    assert join(pieces, {piece.text: piece.text.lower() for piece in pieces}, ZH) == "one two.three!\n\nfour five?six"
    assert " " in str(join(pieces[2:], {piece.text: "ก" for piece in pieces}, TH))


def test_a_text_that_fits_stays_whole_where_texts_are_translated():
    fits, long = divide([" One two.\nThree. ", "One two three. Four five."], "text", words, 3)
    assert fits == [Piece("One two.\nThree.")]
    assert long == [Piece("One two three."), Piece("Four five.")]


@pytest.mark.parametrize("unit", ["sentence", "text"])
def test_a_sentence_that_does_not_fit_fails_with_its_length(unit: Unit):
    long, short = divide(["Short. One two three four five six", "Short."], unit, words, 4)
    assert long == Failed("too long: 6 tokens without an end mark between, 4 fit: One two three four five six", own=True)
    assert short == [Piece("Short.")]


@pytest.mark.parametrize(
    ("found", "reason"),
    [(Failed("loops"), "loops (part 2 of 2)"), ("", "no translation (part 2 of 2)")],
)
def test_one_failed_piece_fails_the_text(found: str | Failed, reason: str):
    assert join([Piece("A."), Piece("B.")], {"A.": "a", "B.": found}, HU) == Failed(reason)
    assert join([Piece("B.")], {"B.": found}, HU) == Failed(reason.partition(" (")[0])


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from('aB .!?\n\r\t。’" ก'), max_size=40), st.sampled_from(["sentence", "text"]))
def test_no_letter_is_lost(text: str, unit: Unit):
    (pieces,) = divide([text], unit, words, 3)
    if isinstance(pieces, Failed):
        assert max(words(re.split(r"[.!?\n]", text))) > 3 or max(words([text])) > 3
        return
    joined = "".join(piece.text + piece.after for piece in pieces)
    assert re.sub(r"\s", "", joined) == re.sub(r"\s", "", text)
    assert len(divide([], unit, words, 3)) == 0
