from __future__ import annotations

import builtins
import itertools
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval import languages
from mella_retrieval.data import language_models
from mella_retrieval.data.language_id import GROUPS, SURE, THRESHOLD, Identified, LanguageIdentifier, group_of, in_group
from mella_retrieval.errors import DataError, MissingDependencyError

SENTENCES = {
    "ar": "امرأة تجلس على مقعد في الحديقة وتقرأ كتابا",
    "cs": "Žena sedí na lavičce v parku a čte si knihu",
    "hu": "Egy nő a parkban ül egy padon és könyvet olvas",
    "ko": "한 여자가 공원 벤치에 앉아 책을 읽고 있다",
    "ru": "Женщина сидит на скамейке в парке и читает книгу",
    "sr": "Жена седи на клупи у парку и чита књигу",
    "th": "ผู้หญิงคนหนึ่งนั่งอ่านหนังสืออยู่บนม้านั่งในสวนสาธารณะ",
    "vi": "Một người phụ nữ ngồi trên ghế đá trong công viên và đọc sách",
    "sk": "Žena sedí na lavičke v parku a číta si knihu",
    "sl": "Ženska sedi na klopi v parku in bere knjigo",
    "pl": "Kobieta siedzi na ławce w parku i czyta książkę",
    "bg": "Жената седи на пейката в парка и чете книга",
    "uk": "Жінка сидить на лавці в парку і читає книжку",
    "be": "Жанчына сядзіць на лаўцы ў парку і чытае кнігу",
    "mk": "Жената седи на клупата во паркот и чита книга",
    "fa": "زنی روی نیمکت پارک نشسته است و کتاب می‌خواند",
    "ur": "ایک عورت پارک میں بنچ پر بیٹھ کر کتاب پڑھ رہی ہے",
    "lo": "ຜູ້ຍິງຄົນໜຶ່ງນັ່ງອ່ານໜັງສືຢູ່ໃນສວນສາທາລະນະ",
    "da": "En kvinde sidder på en bænk i parken og læser i en bog",
    "sv": "En kvinna sitter på en bänk i parken och läser en bok",
    "en": "A woman is sitting on a bench in the park and reading a book",
    "ja": "公園のベンチに座って本を読んでいる女性",
    "zh": "一位女士坐在公园的长椅上看书",
    "mi": "He wahine e noho ana i runga i te tūru, e pānui pukapuka ana",
}
CROATIAN = "Žena sjedi na klupi u parku i čita knjigu"
SERBIAN_LATIN = "Žena sedi na klupi u parku i čita knjigu"
INDONESIAN = "Seorang wanita duduk di bangku taman sambil membaca buku"


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier()


@pytest.mark.parametrize(("code", "text"), SENTENCES.items(), ids=SENTENCES)
def test_a_sentence_is_in_its_language(identifier: LanguageIdentifier, code: str, text: str) -> None:
    found = identifier.identify(text)
    assert found.lang == code and found.probability >= THRESHOLD
    assert found.probability == identifier.probability(text, code)
    assert sum(identifier.scores(text).values()) == pytest.approx(1)


@pytest.mark.parametrize("text", [CROATIAN, SERBIAN_LATIN])
def test_serbian_in_latin_letters_croatian_and_bosnian_are_one_group(identifier: LanguageIdentifier, text: str) -> None:
    assert identifier.identify(text).lang in ("bs", "hr", "sr-Latn")
    for code in ("bs", "hr", "sr-Latn", "srp_Latn"):
        assert identifier.probability(text, code) >= SURE
    assert identifier.probability(text, "sr") == 0  # that is the Cyrillic one
    assert {"bs", "hr", "sr-Latn"} <= identifier.scores(text).keys()


def test_the_two_scripts_of_serbian_have_their_own_codes(identifier: LanguageIdentifier) -> None:
    assert identifier.identify(SENTENCES["sr"]).lang == "sr"
    assert "sr-Latn" not in identifier.scores(SENTENCES["sr"])
    only = LanguageIdentifier(["sr", "sr-Latn", "ru", "sl"])
    assert [only.identify(text).lang for text in (SENTENCES["sr"], SERBIAN_LATIN)] == ["sr", "sr-Latn"]


def test_groups_are_merged_and_apart(identifier: LanguageIdentifier) -> None:
    assert identifier.probability(INDONESIAN, "id") == identifier.probability(INDONESIAN, "ms") >= SURE
    assert identifier.probability(SENTENCES["zh"], "zh-Hant") == identifier.probability(SENTENCES["zh"], "zh") >= SURE
    assert identifier.probability(SENTENCES["ar"], "arz") >= SURE
    members = [code for group in GROUPS for code in group]
    assert len(members) == len(set(members)) and all(languages.normalise(code) == code for code in members)
    assert group_of("hu") == {"hu"} and group_of("hr") == {"bs", "hr", "sr-Latn"}


def test_a_group_is_added_in_no_order() -> None:
    """The members of a set come in another order in every process."""
    orders = itertools.permutations((0.1, 0.2, 0.3))
    assert {in_group(dict(zip(("bs", "hr", "sr-Latn"), order, strict=True)), "hr") for order in orders} == {0.6}


@pytest.mark.parametrize(
    "text", ["", " ", "12 345,00", "🙂🙂", "!?…", "https://example.com/a", "me@example.com", "IMG_2093", "\x00", "\ud800"]
)
def test_no_letters_no_language(identifier: LanguageIdentifier, text: str) -> None:
    assert identifier.identify(text) == Identified("", 0.0)
    assert identifier.scores(text) == {}
    assert identifier.probability(text, "hu") == 0


def test_letters_of_a_script_without_a_language_here(identifier: LanguageIdentifier) -> None:
    assert identifier.identify("ᚠᚢᚦᚨᚱᚲ") == Identified("", 0.0)  # runes
    assert LanguageIdentifier(["cs", "hu"]).identify(SENTENCES["th"]) == Identified("", 0.0)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Nike Air Max 90 รองเท้าวิ่งผู้ชาย", "th"),
        ("ป้ายร้าน Toyota Corona", "th"),
        ("삼성 Galaxy S24 Ultra 스마트폰", "ko"),
        ("iPhone 15 手机壳", "zh"),
        ("Вывеска над входом в гостиницу George Guest House", "ru"),
        ("Ulica Святой Софии in the old town of Kyiv, seen from the market square", "en"),
        ("東京タワー Tokyo Tower", "ja"),
    ],
)
def test_the_script_of_the_language_wins_over_latin_names(identifier: LanguageIdentifier, text: str, code: str) -> None:
    assert identifier.identify(text).lang == code


@pytest.mark.parametrize("code", ["cs", "sk", "ru", "sr", "hu", "vi"])
def test_writing_does_not_change_the_language(identifier: LanguageIdentifier, code: str) -> None:
    text = SENTENCES[code]
    scores = identifier.scores(text)
    others = [text.upper(), text.title(), unicodedata.normalize("NFD", text), f"{text}!", f" 🙂 {text} 1.200 https://a.org/en/"]
    assert [identifier.scores(other) for other in others] == [scores] * len(others)


def test_full_width_letters_are_letters(identifier: LanguageIdentifier) -> None:
    wide = "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in SENTENCES["en"])
    assert wide[0] == "Ａ" and identifier.scores(wide) == identifier.scores(SENTENCES["en"])


def test_what_is_not_seen_does_not_part_words(identifier: LanguageIdentifier) -> None:
    text = SENTENCES["hu"]
    assert identifier.scores(text.replace("parkban", "park\u00adban").replace("egy", "e\u200bgy")) == identifier.scores(text)
    assert identifier.scores("كتـــاب جديد") == identifier.scores("كتاب جديد")


def test_loanwords_with_an_accented_o_are_czech(identifier: LanguageIdentifier) -> None:
    """lingua alone is sure that these are Slovak."""
    assert identifier.probability("Tři ženy v jógové pozici na louce za domem", "cs") >= SURE


def test_only_the_beginning_of_a_long_text_counts(identifier: LanguageIdentifier) -> None:
    assert identifier.identify(f"{SENTENCES['hu']} " * 100_000).lang == "hu"
    assert identifier.identify("ah" * 1_000_000).probability <= 1
    assert identifier.scores(SENTENCES["hu"] * 100) == identifier.scores(SENTENCES["hu"] * 100 + SENTENCES["en"] * 100)


def test_short_words_are_less_certain(identifier: LanguageIdentifier) -> None:
    assert identifier.identify("auto").probability < THRESHOLD < SURE < identifier.identify(SENTENCES["cs"]).probability


def test_candidates(identifier: LanguageIdentifier) -> None:
    neighbours = {"sr-Latn", "sk", "bs", "bg", "be", "mk", "ur", "ms", "lo", "sl"}
    assert neighbours | {*languages.XM3600, *languages.MELLA} <= set(identifier.languages)
    assert LanguageIdentifier(["hun", "ces_Latn", "cs"]).languages == ("cs", "hu")
    assert LanguageIdentifier(["arz", "fa"]).identify(SENTENCES["ar"]).lang == "arz"
    assert LanguageIdentifier(["zh-Hant", "ja"]).identify(SENTENCES["zh"]).lang == "zh-Hant"
    assert LanguageIdentifier(["mi", "en"]).identify(SENTENCES["mi"]).lang == "mi"
    assert LanguageIdentifier(["cs", "sk"]).scores(SENTENCES["hu"]).keys() == {"cs", "sk"}  # one of them it has to be
    with pytest.raises(DataError, match="no model tells the language 'ti'"):
        LanguageIdentifier(["ti", "am"])
    with pytest.raises(DataError, match="is not a known language code"):
        LanguageIdentifier(["Hungarish", "en"])
    with pytest.raises(DataError, match="two candidates"):
        LanguageIdentifier(["hu", "hun"])


def test_a_language_that_is_no_candidate(identifier: LanguageIdentifier) -> None:
    assert identifier.knows("hun_Latn") and identifier.knows("zh-Hant") and not identifier.knows("ti")
    with pytest.raises(DataError, match="'ti' is none of the languages"):
        identifier.probability("text", "ti")
    with pytest.raises(DataError, match="is not a known language code"):
        identifier.knows("xx1")


def test_threads_give_the_same_answers(identifier: LanguageIdentifier) -> None:
    texts = [*SENTENCES.values(), CROATIAN] * 4
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(identifier.identify, texts)) == [identifier.identify(text) for text in texts]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__
    language_models._py3langid.cache_clear()

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("py3langid"):
            raise ModuleNotFoundError("no", name=name)
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.startswith("py3langid")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingDependencyError, match=r"py3langid: pip install mella-retrieval\[data\]"):
        LanguageIdentifier()


letters = st.one_of(
    st.text(max_size=80),
    st.text(alphabet=st.characters(categories=("Lu", "Ll", "Lo", "Lm", "Mn", "Mc", "Cf", "Nd", "Cs")), max_size=80),
    st.lists(st.sampled_from([*SENTENCES.values(), CROATIAN, "x@y.z", "9", "日本"]), max_size=3).map(" ".join),
)


@settings(max_examples=60, deadline=None)
@given(text=letters)
def test_any_text(identifier: LanguageIdentifier, text: str) -> None:
    scores, found = identifier.scores(text), identifier.identify(text)
    assert set(scores) <= set(identifier.languages)
    assert all(0 <= p <= 1 for p in scores.values())
    assert not scores or sum(scores.values()) == pytest.approx(1)
    assert bool(found.lang) == bool(scores) and 0 <= found.probability <= 1
    assert all(identifier.probability(text, code) <= found.probability for code in identifier.languages[::17])


@pytest.mark.real
def test_captions_of_the_eight_languages(identifier: LanguageIdentifier, shared: Path) -> None:
    import gzip
    import json

    with gzip.open(shared / "xm3600" / "captions_first.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(60), strict=False)]
    for code in set(languages.MELLA) - {"sr"}:
        kept = [identifier.probability(row[code]["caption"][0], code) >= THRESHOLD for row in rows]
        assert sum(kept) >= 0.9 * len(kept), code
