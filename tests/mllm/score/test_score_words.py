"""Words in the form for comparing, and their forms."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval import languages
from mella_retrieval.mllm.score.forms import forms
from mella_retrieval.mllm.score.stop_words import stop_words
from mella_retrieval.mllm.score.words import one_script, pieces, words


@pytest.mark.parametrize(
    ("lang", "text", "found"),
    [
        ("en", "Ｆｕｌｌ-width “Café”, don’t; 2024!", ["full", "width", "café", "don", "t", "2024"]),
        ("hu", "ORSZÁGHÁZ-látogatás", ["országház", "látogatás"]),
        ("hu", unicodedata.normalize("NFD", "őszi körút"), ["őszi", "körút"]),
        ("th", "วัดพระแก้วในกรุงเทพมหานคร ABC ๒๕๖๗", ["วัด", "พระ", "แก้ว", "ใน", "กรุงเทพมหานคร", "abc", "2567"]),
        ("th", "น\u0e4d\u0e49าตก", ["น้ำตก"]),
        ("ar", "الْقَاهِـــرَة ٢٠٢٤", ["القاهرة", "2024"]),
        ("sr", "Ђорђе и Његош у Џепу", ["đorđe", "i", "njegoš", "u", "džepu"]),
        ("sr-Latn", "Đorđe i Njegoš u Džepu", ["đorđe", "i", "njegoš", "u", "džepu"]),
        ("zh", "北京 Tokyo塔", ["北", "京", "tokyo", "塔"]),
        ("ko", "서울\u200b의 밤", ["서울의", "밤"]),
        ("ru", "", []),
    ],
)
def test_words(lang: str, text: str, found: list[str]):
    assert words(text, lang) == found


def test_a_vietnamese_tone_may_stand_on_either_vowel():
    assert words("Hoà bình thuỷ", "vi") == words("hòa bình thủy", "vi")
    assert words("hoa", "vi") != words("hòa", "vi") != words("hóa", "vi")


def test_a_sentence_begins_after_an_end_mark():
    found = [(" ".join(piece.words), piece.starts) for piece in pieces("A vár. Budán – kép | (Eger) most", "hu")]
    assert found == [("A", True), ("vár", False), ("Budán", True), ("kép", True), ("Eger", True), ("most", False)]


def test_serbian_alone_changes_its_script():
    assert one_script("Љубав ЊЕГОВА", "sr") == "Ljubav NjEGOVA"
    assert one_script("Љубав", "ru") == "Љубав"


@given(st.text(max_size=60), st.sampled_from([*languages.MELLA, "en", "zh", "ja", "km", "sr-Latn"]))
@settings(max_examples=60, deadline=None)
def test_any_text_has_words_without_spaces(text: str, lang: str):
    found = words(text, lang)
    assert all(word and not any(character.isspace() for character in word) for word in found)
    assert found == words(text, lang)


SAME = [
    ("hu", "budapest", "budapesten"),
    ("hu", "kutya", "kutyák"),
    ("hu", "híd", "hídon"),
    ("cs", "praha", "praze"),
    ("cs", "hrad", "hradem"),
    ("ru", "москва", "москве"),
    ("ru", "кремль", "кремля"),
    ("sr", "beograd", "beogradu"),
    ("sr", "amerika", "americi"),
    ("sr-Latn", "mleko", "mlijeko"),
    ("ar", "مسجد", "والمسجد"),
    ("ar", "القاهرة", "بالقاهرة"),
    ("ko", "고양이", "고양이가"),
    ("ko", "경복궁", "경복궁에서는"),
    ("ko", "학생", "학생들에게는"),
    ("ko", "서울", "서울로"),
    ("ko", "집", "집에"),
    ("en", "parliament", "parliaments"),
]
DIFFERENT = [
    ("hu", "ház", "kutya"),
    ("ko", "지", "지도"),
    ("ko", "나", "나이"),
    ("cs", "hrad", "hradec"),
    ("th", "วัด", "วัดพระ"),
    ("vi", "nam", "năm"),
    ("ru", "дом", "дым"),
]


@pytest.mark.parametrize(("lang", "one", "other"), SAME)
def test_forms_of_a_word_meet(lang: str, one: str, other: str):
    assert forms(one, lang) & forms(other, lang)


@pytest.mark.parametrize(("lang", "one", "other"), DIFFERENT)
def test_forms_of_other_words_do_not(lang: str, one: str, other: str):
    assert not forms(one, lang) & forms(other, lang)


def test_languages_without_a_stemmer_compare_words_as_they_are():
    stemmed = ("ar", "cs", "hu", "ko", "ru", "sr", "en")
    assert {lang for lang, *_ in SAME} >= {*stemmed}, "each has words whose forms are not alike and meet"
    assert forms("วัด", "th") == {"วัด"}
    assert forms("chùa", "vi") == {"chùa"}


@pytest.mark.parametrize(
    ("lang", "stop", "content"),
    [
        ("en", "the", "room"),
        ("ar", "في", "مسجد"),
        ("cs", "protože", "most"),
        ("hu", "között", "nagy"),
        ("ko", "그리고", "아이"),
        ("ru", "который", "москва"),
        ("sr", "između", "crkva"),
        ("th", "ทํา", "วัด"),
        ("vi", "những", "nhà"),
    ],
)
def test_stop_words_of_mellas_languages(lang: str, stop: str, content: str):
    (stop,), (content,) = words(stop, lang), words(content, lang)
    assert stop in stop_words(lang)
    assert content not in stop_words(lang)


def test_both_scripts_of_serbian_have_the_same_stop_words():
    assert stop_words("sr") == stop_words("sr-Latn") >= {*words("између", "sr")}


def test_a_language_without_a_list_has_no_stop_words():
    assert stop_words("km") == frozenset()
