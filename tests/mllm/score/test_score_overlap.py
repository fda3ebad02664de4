"""Overlap metrics against sacrebleu, rouge_score and cases worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF
from score_material import CZECH, HUNGARIAN

from mella_retrieval.mllm.score import overlap
from mella_retrieval.mllm.score.overlap import character_bleu, chrf, corpus_scores, meteor, no_meteor, rouge_l

ONE, OTHER = HUNGARIAN[0], HUNGARIAN[4]


@pytest.mark.parametrize("metric", [chrf, character_bleu, rouge_l])
def test_ends_of_the_scale(metric: Callable[[Sequence[str], str, str], float]):
    assert metric([ONE], ONE, "hu") == pytest.approx(100)
    assert metric([ONE], "", "hu") == 0
    assert metric([ONE], "ξψω", "hu") == 0
    assert 0 < metric([ONE], OTHER, "hu") < 40
    assert metric([OTHER, ONE], ONE, "hu") == pytest.approx(100)


def test_they_are_sacrebleus_and_rouges_own():
    assert chrf([ONE], OTHER, "hu") == CHRF(word_order=2).sentence_score(OTHER, [ONE]).score
    assert character_bleu([ONE], OTHER, "hu") == BLEU(tokenize="char", effective_order=True).sentence_score(OTHER, [ONE]).score
    english = "A brown dog runs over the wet grass.", "The dog runs over wet brown grass"
    own = RougeScorer(["rougeL"]).score(*english)["rougeL"].fmeasure
    assert rouge_l([english[0]], english[1], "en") == pytest.approx(100 * own)


def test_rouge_by_hand():
    """Longest common subsequence `egy kutya fut`: 3 of 4 words, 3 of 5."""
    assert rouge_l(["egy nagy kutya fut"], "egy kutya itt most fut", "hu") == pytest.approx(100 * 2 * 0.75 * 0.6 / 1.35)


def test_thai_and_chinese_are_not_compared_by_what_stands_between_spaces():
    assert rouge_l(["แมวสีขาวนอนอยู่"], "แมวสีดำนอนอยู่", "th") == pytest.approx(100 * 4 / 5)  # แมว สี ขาว นอน อยู่
    assert rouge_l(["白猫在睡觉"], "黑猫在睡觉", "zh") == pytest.approx(80)


@pytest.mark.parametrize("metric", [chrf, character_bleu, rouge_l])
def test_both_scripts_of_serbian_are_one(metric: Callable[[Sequence[str], str, str], float]):
    assert metric(["Црвени трамвај прелази мост."], "Crveni tramvaj prelazi most.", "sr") == pytest.approx(100)


def test_all_at_once():
    """As sacrebleu's own command would, with one and two references of a picture."""
    answers = [*HUNGARIAN[1:], HUNGARIAN[0]]
    found = corpus_scores([[text] for text in HUNGARIAN], answers, "hu")
    assert found["chrf"]["score"] == CHRF(word_order=2).corpus_score(answers, [list(HUNGARIAN)]).score
    assert found["bleu"]["score"] == BLEU(tokenize="char").corpus_score(answers, [list(HUNGARIAN)]).score
    assert "tok:char" in found["bleu"]["signature"] and "nw:2" in found["chrf"]["signature"]
    two = corpus_scores([[HUNGARIAN[0], answers[0]], [HUNGARIAN[1]]], answers[:2], "hu")
    assert two["chrf"]["score"] > corpus_scores([[HUNGARIAN[0]], [HUNGARIAN[1]]], answers[:2], "hu")["chrf"]["score"]


def test_meteor_is_given_only_where_it_is_whole(monkeypatch: pytest.MonkeyPatch):
    assert "English alone" in no_meteor("hu")
    monkeypatch.setattr(overlap, "WORDNET", ("corpora/no-such-wordnet",))
    overlap._has_wordnet.cache_clear()
    assert "nltk does not find" in no_meteor("en")
    overlap._has_wordnet.cache_clear()


class NoSynonyms:
    """A WordNet without a word in it."""

    def synsets(self, word: str) -> list[object]:
        return []


def test_meteor_by_hand():
    """Matches 3 of 4 in 2 chunks: precision = recall = .75, penalty .5 (2/3)^3."""
    assert meteor(["a red house stands"], "a red boat stands", "en", NoSynonyms()) == pytest.approx(75 * (1 - 0.5 * (2 / 3) ** 3))
    assert meteor(["xyz"], "a red boat", "en", NoSynonyms()) == 0


def test_czech_references_leave_hungarian_answers_nothing():
    """What a wrong set of references would have scored: words next to nothing, letters no more than by chance."""

    def mean(metric: Callable[[Sequence[str], str, str], float], moved: int) -> float:
        return sum(metric([CZECH[place]], HUNGARIAN[(place + moved) % 10], "hu") for place in range(10)) / 10

    assert mean(rouge_l, 0) < 2
    assert mean(character_bleu, 0) < 10
    assert mean(chrf, 0) < mean(chrf, 1) + 3


def test_a_short_answer_has_no_long_orders_that_it_would_lack():
    assert overlap.character_bleu(["ló"], "ló", "hu") == pytest.approx(100)
