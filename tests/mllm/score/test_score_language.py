"""Languages of references and answers: Hungarian references that are Czech are refused."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from score_material import ALT, CZECH, HUNGARIAN

from mella_retrieval.data.language_id import LanguageIdentifier
from mella_retrieval.errors import DataError
from mella_retrieval.mllm.score.keywords import keywords, said, share_found
from mella_retrieval.mllm.score.language_rate import alike, check_references, in_language
from mella_retrieval.mllm.score.overlap import rouge_l

pytest.importorskip("lingua")


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier()


def test_hungarian_references_that_are_czech_are_caught(identifier: LanguageIdentifier):
    with pytest.raises(DataError, match="are said to be Hungarian and are mostly Czech") as caught:
        check_references(CZECH, "hu", "the references of ling in test", identifier)
    assert "the references of ling in test" in str(caught.value) and CZECH[0][:20] in str(caught.value)
    assert check_references(CZECH, "cs", "they", identifier).rate == 1
    assert check_references(HUNGARIAN, "hu", "they", identifier).rate == 1


def test_what_would_have_come_out_is_near_nothing():
    strict = [share_found(keywords(wrong, "hu"), said(right, "hu")) for wrong, right in zip(CZECH, HUNGARIAN, strict=True)]
    lenient = [
        share_found(keywords(wrong, "hu"), said(right, "hu"), lenient=True) for wrong, right in zip(CZECH, HUNGARIAN, strict=True)
    ]
    assert sum(found or 0 for found in strict) / 10 < 0.02
    assert sum(found or 0 for found in lenient) / 10 < 0.05
    assert sum(rouge_l([wrong], right, "hu") for wrong, right in zip(CZECH, HUNGARIAN, strict=True)) / 10 < 2


def test_a_few_wrong_references_are_left_out(identifier: LanguageIdentifier):
    found = check_references([*HUNGARIAN, CZECH[0], CZECH[3]], "hu", "they", identifier)
    assert found.good == (True,) * 10 + (False,) * 2
    assert found.seems == Counter({"cs": 2})
    assert found.rate == pytest.approx(10 / 12)


def test_more_than_half_in_another_language_are_refused(identifier: LanguageIdentifier):
    with pytest.raises(DataError, match="are mostly Czech"):
        check_references([*HUNGARIAN[:4], *CZECH[:6]], "hu", "they", identifier)
    assert check_references([*HUNGARIAN[:6], *CZECH[:4]], "hu", "they", identifier).good.count(True) == 6


def test_texts_that_only_seem_to_be_another_language_weigh_as_much_as_they_seem(monkeypatch: pytest.MonkeyPatch):
    unsure = LanguageIdentifier(["hu", "cs", "sk"])
    monkeypatch.setattr(unsure, "scores", lambda text: {"cs": 0.45, "hu": 0.3, "sk": 0.25})
    assert all(check_references(ALT, "hu", "they", unsure).good)


def test_alt_texts_full_of_names_are_no_other_language(identifier: LanguageIdentifier):
    assert all(check_references(ALT, "hu", "they", identifier).good)


def test_neighbours_are_no_mistake(identifier: LanguageIdentifier):
    croatian = ("Smeđi pas trči po mokroj travi pokraj rijeke.", "Dvije crvene barke leže u maloj luci, iza njih su planine.")
    assert all(check_references(croatian, "sr", "they", identifier).good)
    danish = ("En brun hund løber i det våde græs ved siden af floden.", "To røde både ligger i den lille havn.")
    assert all(check_references(danish, "no", "they", identifier).good)
    assert alike("sr") == alike("hr") and alike("hu") == {"hu"}


def test_a_language_that_no_model_tells_is_let_through():
    few = LanguageIdentifier(["hu", "cs"])
    found = check_references(["Xyz abc"], "sw", "they", few)
    assert found.good == (True,) and in_language(found.verdicts) == 0


@pytest.mark.real
def test_real_captions(shared_data: Path, identifier: LanguageIdentifier):
    """XM3600: 200 Czech captions as Hungarian references of the same pictures; and each language's own."""
    captions: dict[str, list[str]] = {"hu": [], "cs": []}
    with gzip.open(shared_data / "xm3600" / "captions_first.jsonl.gz", "rt", encoding="utf-8") as file:
        for line, _ in zip(file, range(200), strict=False):
            row = json.loads(line)
            for lang, own in captions.items():
                own.append(row[lang]["caption"][0])
    with pytest.raises(DataError, match="Hungarian and are mostly Czech"):
        check_references(captions["cs"], "hu", "they", identifier)
    for lang, own in captions.items():
        assert check_references(own, lang, "they", identifier).rate > 0.9
    pairs = list(zip(captions["cs"], captions["hu"], strict=True))
    strict = [found for wrong, right in pairs if (found := share_found(keywords(wrong, "hu"), said(right, "hu"))) is not None]
    assert sum(strict) / len(strict) < 0.02
    assert sum(rouge_l([wrong], right, "hu") for wrong, right in pairs) / len(pairs) < 3
