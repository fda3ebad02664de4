"""What answers and references have in common, letter by letter or word by word: chrF++, character BLEU, ROUGE-L, METEOR.

Every function scores one answer against the references of its picture, 0 to 100; an empty answer scores 0. Serbian is compared in
Latin letters, all texts in NFC. Of several references the best counts (sacrebleu's and ROUGE's own rule).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from mella_retrieval.mllm.extra import mllm_package
from mella_retrieval.mllm.score.words import base, one_script, words

WORDNET = ("corpora/wordnet", "corpora/wordnet.zip")


def chrf(references: Sequence[str], answer: str, lang: str) -> float:
    """chrF++ of one answer: six orders of letters, two of words (sacrebleu)."""
    return float(_chrf().sentence_score(one_script(answer, lang), _in_one_script(references, lang)).score)


def character_bleu(references: Sequence[str], answer: str, lang: str) -> float:
    """BLEU over characters, up to four in a row: needs no words. Orders that a short text does not have are left out."""
    return float(_bleu(True).sentence_score(one_script(answer, lang), _in_one_script(references, lang)).score)


def rouge_l(references: Sequence[str], answer: str, lang: str) -> float:
    """ROUGE-L's F over the words of `words.words`: by pythainlp in Thai, characters in Chinese and Japanese; no stemming."""
    scored = _rouge(lang).score_multi(list(references), answer)
    return 100 * float(scored["rougeL"].fmeasure)


def meteor(references: Sequence[str], answer: str, lang: str, wordnet: Any = None) -> float:
    """METEOR with its synonyms, which there are for English alone (nltk's, with WordNet)."""
    score = mllm_package("nltk.translate.meteor_score").meteor_score
    given = {"wordnet": wordnet} if wordnet is not None else {}
    return 100 * float(score([words(text, lang) for text in references], words(answer, lang), **given))


def no_meteor(lang: str) -> str:
    """Why there is no METEOR in a language; "" if there is."""
    if base(lang) != "en":
        return "METEOR has synonyms for English alone"
    return "" if _has_wordnet() else "METEOR needs WordNet, which nltk does not find on this machine"


def corpus_scores(references: Sequence[Sequence[str]], answers: Sequence[str], lang: str) -> dict[str, Any]:
    """chrF++ and character BLEU of all answers at once (not none), as papers give them, each with sacrebleu's signature."""
    texts = [_in_one_script(of_picture, lang) for of_picture in references]
    # sacrebleu wants one list for each place, with None where a picture has fewer references
    columns = [
        [of_picture[place] if place < len(of_picture) else None for of_picture in texts] for place in range(max(map(len, texts)))
    ]
    said = _in_one_script(answers, lang)
    found: dict[str, Any] = {}
    for name, metric in (("chrf", _chrf()), ("bleu", _bleu(False))):
        found[name] = {"score": float(metric.corpus_score(said, columns).score), "signature": str(metric.get_signature())}
    return found


def _in_one_script(texts: Sequence[str], lang: str) -> list[str]:
    return [one_script(text, lang) for text in texts]


@functools.cache
def _chrf() -> Any:
    return mllm_package("sacrebleu.metrics").CHRF(word_order=2)


@functools.cache
def _bleu(one: bool) -> Any:
    return mllm_package("sacrebleu.metrics").BLEU(tokenize="char", effective_order=one)


@functools.cache
def _rouge(lang: str) -> Any:
    return mllm_package("rouge_score.rouge_scorer").RougeScorer(["rougeL"], tokenizer=_Words(lang))


class _Words:
    """A tokenizer as rouge_score calls it."""

    def __init__(self, lang: str) -> None:
        self.tokenize: Callable[[str], list[str]] = functools.partial(words, lang=lang)


@functools.cache
def _has_wordnet() -> bool:
    data = mllm_package("nltk.data")
    for place in WORDNET:
        try:
            data.find(place)
        except LookupError:
            continue
        return True
    return False
