import unicodedata

import pytest

from mella_retrieval.encoders.text_preparation import (
    TextPreparation,
    described,
    for_sentence_transformers,
    for_transformers,
    require_text,
)
from mella_retrieval.errors import ConfigError, EncoderError

WORDS = ("egy kakas és tyúk", "một con mèo", "קָפֶה", "개와 고양이", "Å", "ﬁ İ")


@pytest.mark.parametrize("form", ["NFC", "NFKC", "NFD", "NFKD"])
def test_spellings_of_a_text_become_one(form: str) -> None:
    preparation = TextPreparation(unicode=form, lower_case=True)  # type: ignore[arg-type]
    for word in WORDS:
        assert preparation.apply(unicodedata.normalize("NFD", word)) == preparation.apply(unicodedata.normalize("NFC", word))


def test_canonicalise() -> None:
    preparation = TextPreparation(canonicalise=True)
    assert preparation.apply("  Two DOGS,\tone frisbee_disc!? ") == "two dogs one frisbeedisc"
    assert preparation.apply("¿Qué?") == "¿qué"  # only ASCII punctuation goes


def test_prefix_and_what_is_empty() -> None:
    preparation = TextPreparation(prefix="query: ", canonicalise=True)
    assert preparation.apply("A cat.") == "query: a cat"
    assert preparation.apply(" ?! ") == ""
    with pytest.raises(EncoderError, match=r"text 1 of 2 \('\?!'\) is empty"):
        require_text([preparation.apply("a"), preparation.apply("?!")], ["a", "?!"])


def test_endless_texts_are_cut() -> None:
    assert TextPreparation(max_characters=5).apply("e\u0301" * 9) == "é" * 5


def test_rules_of_transformers() -> None:
    siglip2 = for_transformers("siglip", "GemmaTokenizer", 64)
    assert siglip2 == for_transformers("siglip2", "Siglip2Tokenizer", 64)
    assert (siglip2.lower_case, siglip2.canonicalise, siglip2.max_length) == (True, False, 64)
    assert (siglip2.padding, siglip2.mask_padding) == ("max_length", False)
    siglip = for_transformers("siglip", "SiglipTokenizer", 16)
    assert (siglip.canonicalise, siglip.max_length, siglip.padding) == (True, 16, "max_length")
    clip = for_transformers("clip", "CLIPTokenizer", 77)
    assert (clip.lower_case, clip.max_length, clip.padding, clip.mask_padding) == (False, 77, "longest", True)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("intfloat/multilingual-e5-base", "query: "),
        ("/models/multilingual-e5-small", "query: "),
        ("/cache/models--intfloat--e5-large-v2/snapshots/0123", "query: "),
        ("intfloat/multilingual-e5-large-instruct", ""),
        ("org/me5-base", ""),
        ("sentence-transformers/LaBSE", ""),
    ],
)
def test_e5_prefix_by_name(name: str, prefix: str) -> None:
    assert for_sentence_transformers(name, {"query": "", "document": None}, None).prefix == prefix


def test_own_prompts_go_first() -> None:
    prompts = {"query": "find: ", "document": "doc: "}
    assert for_sentence_transformers("multilingual-e5-base", prompts, None).prefix == "find: "
    assert for_sentence_transformers("multilingual-e5-base", prompts, "document").prefix == "doc: "
    with pytest.raises(EncoderError, match="no prompt 'qery'; it has: document, query"):
        for_sentence_transformers("x", prompts, "qery")


def test_options_of_a_spec() -> None:
    changed = TextPreparation().override({"lower_case": "true", "max_length": "12"}, "x")
    assert (changed.lower_case, changed.max_length) == (True, 12)
    with pytest.raises(ConfigError, match="the options of x: max_length"):
        TextPreparation().override({"max_length": "0"}, "x")
    with pytest.raises(ConfigError, match="unicode"):
        TextPreparation().override({"unicode": "NFX"}, "x")


def test_probe_sees_the_tokenizer() -> None:
    preparation = TextPreparation()
    plain = described(preparation, lambda text: list(text.encode()), library="x")
    other = described(preparation, lambda text: list(text.lower().encode()), library="x")
    assert plain["library"] == "x" and plain["unicode"] == "NFC"
    assert plain["probe"] != other["probe"]
