"""Keyword accuracy against cases worked out by hand."""

from __future__ import annotations

import pytest

from mella_retrieval.mllm.score.keywords import is_found, keywords, said, share_found
from mella_retrieval.mllm.score.words import words

# language, reference, answer, found strictly, found leniently only, not found
CASES = [
    (
        "hu", "A budapesti Országház a Duna partján, 2019", "Budapest: az Országháznál, a Duna",
        ["budapesti", "országház", "duna"], [], ["partján", "2019"],
    ),
    ("hu", "Palota a várban", "A palotakertben", [], ["palota"], ["várban"]),
    ("cs", "Karlův most v Praze", "Karlův most, Praha", ["karlův", "most", "praze"], [], []),
    (
        "ru", "Москва, Красная площадь и собор Василия Блаженного", "На Красной площади в Москве",
        ["москва", "красная", "площадь"], [], ["собор", "василия", "блаженного"],
    ),
    ("sr", "Храм Светог Саве у Београду", "Hram Svetog Save, Beograd", ["hram", "svetog", "save", "beogradu"], [], []),
    ("sr-Latn", "Kuća Petra Njegoša na Cetinju", "Кућа Петра Његоша, Цетиње", ["kuća", "petra", "njegoša", "cetinju"], [], []),
    ("ar", "جامع الأزهر في القاهرة", "والأزهر بالقاهرة", ["الأزهر", "القاهرة"], [], ["جامع"]),
    ("ko", "서울 경복궁의 근정전", "경복궁에서 근정전이 보인다. 서울시청", ["경복궁의", "근정전"], ["서울"], []),
    ("th", "วัดพระแก้วในกรุงเทพมหานคร", "ภาพนี้คือวัดพระแก้ว กรุงเทพ", ["วัด", "พระ", "แก้ว"], [], ["กรุงเทพมหานคร"]),
    ("vi", "Chùa Một Cột ở Hà Nội", "Ảnh chùa Một Cột tại Hà Nội", ["chùa", "một cột", "hà nội"], [], []),
    ("vi", "Phố cổ Hà Nội", "Nội dung: phố của sông Hà", ["phố"], ["hà nội"], ["cổ"]),
    ("en", "The Parliament of Budapest at night", "budapest's parliaments", ["parliament", "budapest"], [], ["night"]),
    ("zh", "北京故宫", "故宫在北京", ["北京", "故宫"], [], ["京故"]),
]  # fmt: skip


@pytest.mark.parametrize(("lang", "reference", "answer", "strict", "lenient", "missing"), CASES)
def test_what_is_found(lang: str, reference: str, answer: str, strict: list[str], lenient: list[str], missing: list[str]):
    wanted, given = keywords(reference, lang), said(answer, lang)
    told = (
        [" ".join(words(text, lang)) for text in (*strict, *lenient, *missing)] if lang == "vi" else [*strict, *lenient, *missing]
    )
    assert sorted(one.text for one in wanted) == sorted(told)
    also = told[: len(strict) + len(lenient)]
    assert {one.text for one in wanted if is_found(one, given)} == set(told[: len(strict)])
    assert {one.text for one in wanted if is_found(one, given, lenient=True)} == set(also)
    assert share_found(wanted, given) == pytest.approx(len(strict) / len(told))
    assert share_found(wanted, given, lenient=True) == pytest.approx(len(also) / len(told))


@pytest.mark.parametrize(("lang", "reference"), [(case[0], case[1]) for case in CASES])
def test_a_text_has_all_of_its_own_keywords_and_another_script_none(lang: str, reference: str):
    assert share_found(keywords(reference, lang), said(reference, lang)) == 1
    assert share_found(keywords(reference, lang), said("", lang), lenient=True) == 0
    assert share_found(keywords(reference, lang), said("Γάτα στο παράθυρο", lang), lenient=True) == 0


def names(text: str, lang: str) -> list[str]:
    return [one.text for one in keywords(text, lang) if one.name]


@pytest.mark.parametrize(
    ("lang", "text", "found"),
    [
        ("hu", "Az egri vár és Dobó István szobra", ["dobó", "istván"]),
        ("hu", "AZ EGRI VÁR ÉS DOBÓ ISTVÁN", []),
        ("en", "Us people saw the United States and it was in US news", ["united", "states", "us"]),
        ("en", "The Hungarian Parliament Building In Budapest", []),
        ("de", "Das Haus in der Stadt Köln", []),
        ("ru", "Собор Василия Блаженного. Москва зимой", ["василия", "блаженного"]),
        ("th", "ร้าน Starbucks สาขาสยาม", ["starbucks"]),
        ("ko", "BTS 공연", ["bts"]),
        ("ar", "مقهى Costa في القاهرة", ["costa"]),
    ],
)
def test_names(lang: str, text: str, found: list[str]):
    assert names(text, lang) == found


def test_a_name_is_never_a_stop_word_and_a_word_for_pictures_always_is():
    assert "us" not in [one.text for one in keywords("Tell us about the river", "en")]
    assert [one.text for one in keywords("Photo: picture of a river", "en")] == ["river"]
    assert keywords("Fénykép a képen", "hu") == ()
    assert share_found(keywords("Fénykép a képen", "hu"), said("kép", "hu")) is None


def test_forms_of_one_word_are_one_keyword():
    assert [one.text for one in keywords("kutya és kutyák, kutyát", "hu")] == ["kutya"]


def test_vietnamese_syllables_are_not_looked_for_inside_of_others():
    (word,) = keywords("thanh", "vi")
    assert not is_found(word, said("thành phố", "vi"), lenient=True)


def test_numbers_are_whole_words():
    (year,) = keywords("1848", "hu")
    assert is_found(year, said("az 1848-as forradalom", "hu"))
    assert not is_found(year, said("a 21848. szám", "hu"), lenient=True)


def test_a_korean_syllable_may_be_a_word_and_a_letter_is_none():
    assert [one.text for one in keywords("눈, 꽃과 집", "ko")] == ["눈", "꽃과", "집"]
    assert share_found(keywords("꽃과 집", "ko"), said("집에 꽃이 있다", "ko")) == 1
    assert [one.text for one in keywords("x 7 dog", "en")] == ["dog"]


def test_three_letters_inside_of_a_word_say_nothing():
    (castle,) = keywords("vár", "hu")
    assert not is_found(castle, said("budavárunk", "hu"), lenient=True)
    (palace,) = keywords("palota", "hu")
    assert is_found(palace, said("budapalotánk", "hu"), lenient=True)


def test_a_name_that_begins_a_sentence_first_is_told_later():
    assert [one.name for one in keywords("Budapest este. Fények Budapest fölött.", "hu") if one.text == "budapest"] == [True]
