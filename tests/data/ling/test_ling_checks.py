"""What each check says about texts, good and bad, in many scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ling_material import parallel

from mella_retrieval import languages
from mella_retrieval.data.ling.checks import CHECKS
from mella_retrieval.data.ling.checks.agreement import Agreement, encode, readable_parts
from mella_retrieval.data.ling.checks.check import Check, Judged, Tools
from mella_retrieval.data.ling.checks.damage import Echo, Empty, Encoding, Ending, Refusal, refusals
from mella_retrieval.data.ling.checks.language import InLanguage
from mella_retrieval.data.ling.checks.length import Length, weight
from mella_retrieval.data.ling.checks.repetition import Repetition
from mella_retrieval.data.ling.checks.untranslated import Script, Untranslated
from mella_retrieval.data.ling.checks.words import names, words
from mella_retrieval.data.ling.judging import active, judge
from mella_retrieval.encoders.towers import TextTower

DOG = "A brown dog runs over the wet grass towards the lake."
ZH = "一只棕色的狗跑过湿漉漉的草地，向湖边跑去。"
KO = "갈색 개가 젖은 풀밭을 지나 호수 쪽으로 달린다. "
LONG = " ".join([DOG, "Behind it stands a man with a blue hat who looks at his watch and waits for the bus to the town."] * 2)


def judged(text: str, lang: str = "en", source: str = "", source_lang: str = "en", prompts: tuple[str, ...] = ()) -> Judged:
    return Judged(text, languages.get(lang), source, languages.get(source_lang) if source else None, prompts)


def problem(check: Check, text: Judged, tools: Tools | None = None) -> str:
    return check.problem(text, check.measure([text], tools or Tools())[0])


@pytest.mark.parametrize(
    ("text", "good"), [("บ้าน", True), ("犬が", True), ("a!", False), ("", False), ("... – !", False), ("123", False)]
)
def test_empty(text: str, good: bool):
    assert (problem(Empty(), judged(text)) == "") == good


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Egy árvíztűrő tükörfúrógép.", ""),
        ("«Кто там?» – спросил он.", ""),
        ("¿Qué hace el perro? Corre.", ""),
        ("Tom & Jerry, R&D;", ""),
        ("Ã¡rvÃ­ztÅ±rÅ‘ tÃ¼kÃ¶rfÃºrÃ³gÃ©p", "another encoding"),
        ("ÐœÐ°Ð»ÑŒÑ‡Ð¸Ðº", "another encoding"),
        ("Mal? d?vka le?? na tr?v?", "question marks"),
        ("???? ?? ????", "question marks"),
        ("a dog \ufffd runs", "U+FFFD"),
        ("a dog\x08 runs", "U+0008"),
        ("salt &amp; pepper", "&amp;"),
        ("line\nbreaks\tand tabs", ""),
    ],
)
def test_encoding(text: str, found: str):
    said = problem(Encoding(), judged(text))
    assert found in said if found else said == ""


CASES: dict[type[Check], list[tuple[str, str, str, bool]]] = {
    Refusal: [
        ("I'm sorry, but I can't see the picture.", "en", "", False),
        ("I’m sorry, I cannot do that.", "en", "", False),
        ("Unfortunately, I am unable to help.", "en", "", False),
        ("A sign at the door says: I'm sorry, we are closed.", "en", "", True),
        ("Sorry Street in the rain", "en", "", True),
        ("Sajnálom, erre nem válaszolhatok.", "hu", DOG, False),
        ("I'm sorry, I can't translate that.", "hu", DOG, False),
        ("ขออภัย ดูภาพไม่ได้", "th", DOG, False),
        ("죄송하지만 볼 수 없어요", "ko", DOG, False),
        ("عذرا، لا أرى الصورة", "ar", DOG, False),
        ("صورة للعذراء والسيد المسيح", "ar", "", True),
        ("Egy kutya szalad.", "hu", DOG, True),
    ],
    Script: [
        ("собака бежит", "ru", "", True),
        ("a dog runs", "ru", "", False),
        ("pas trči po travi", "sr", "", False),
        ("pas trči po travi", "sr-Latn", "", True),
        ("黒いLenovo製のACアダプター", "ja", "", True),
        ("ป้ายเขียนว่า “Other Waste” และ “Recycle”", "th", "", True),
        ("หมา runs over the grass", "th", DOG, False),
        ("หมาวิ่งที่ Golden Gate Bridge", "th", "A dog runs at the Golden Gate Bridge.", True),
        ("한국어 漢字 텍스트", "ko", "", True),
    ],
    Untranslated: [
        ("Egy barna kutya szalad a nedves fűben a tó felé.", "hu", DOG, True),
        (DOG, "hu", DOG, False),
        ("Egy barna kutya runs over the wet grass", "hu", DOG, False),
        ("Ein brauner Hund runs over the wet", "de", DOG, False),
        ("Brown dog runs, over grass: lake", "de", DOG, False),
    ],
    Length: [
        (LONG, "en", LONG, True),
        (LONG[: len(LONG) // 3], "en", LONG, False),
        (LONG * 3, "en", LONG, False),
        (
            "一只棕色的狗跑过湿漉漉的草地，向湖边跑去。它身后站着一个戴蓝帽子的男人，看着手表，等着去城里的公共汽车。" * 2,
            "zh",
            LONG,
            True,
        ),
        (ZH, "zh", LONG, False),
        (f"{KO}그 뒤에는 파란 모자를 쓴 남자가 시계를 보며 시내로 가는 버스를 기다린다. " * 2, "ko", LONG, True),
        (KO, "ko", LONG, False),
    ],
    Ending: [
        ("Egy kutya fut a", "hu", DOG, False),
        ("Egy kutya fut.", "hu", DOG, True),
        ("Azt mondta: „gyere ide!”", "hu", DOG, True),
        ("Egy kutya (egy spániel.)", "hu", DOG, True),
        ("หมาวิ่งบนหญ้า", "th", DOG, True),
        ("一只狗在跑。", "zh", DOG, True),
        ("यह कुत्ता दौड़ता है।", "hi", DOG, True),
        ("kutya", "hu", "dog", True),
        ("There is a dog. It runs over the", "en", "", False),
        ("There is a dog. It runs.", "en", "", True),
        ("A dog on the grass", "en", "", True),
        ("", "en", "", True),
    ],
}
"""Check -> text, language, source ("" for a description), whether it passes."""


@pytest.mark.parametrize(
    ("check", "text", "lang", "source", "good"), [(check, *case) for check, cases in CASES.items() for case in cases]
)
def test_good_texts_pass_a_check_and_bad_ones_do_not(check: type[Check], text: str, lang: str, source: str, good: bool):
    assert (problem(check(), judged(text, lang, source)) == "") == good


def test_refusal_takes_further_phrases_in_any_code():
    check = Refusal(phrases={"hun_Latn": ("fogalmam sincs",)})
    assert "fogalmam sincs" in problem(check, judged("Fogalmam sincs, mi ez.", "hu"))
    assert problem(Refusal(), judged("Fogalmam sincs, mi ez.", "hu")) == ""


def test_a_phrase_of_ones_own_is_found_however_it_is_written():
    check = Refusal(phrases={"de": ("Weiß ich  nicht",), "en": ("I’m afraid",)})
    assert problem(check, judged("Weiß ich nicht, leider.", "de")) != ""
    assert problem(check, judged("I'm afraid of this.")) != ""
    assert problem(check, judged("I'm afraidly.")) == ""


def test_a_check_without_its_methods_cannot_be_made():
    class Half(Check):
        def measure(self, texts: Sequence[Judged], tools: Tools) -> list[dict[str, float]]:
            return [{} for _ in texts]

    with pytest.raises(TypeError, match="problem"):
        Half()  # type: ignore[abstract]


def test_refusals_are_known_in_mellas_languages_and_written_in_canonical_codes_and_lower_case():
    assert set(languages.MELLA) <= refusals().keys()
    for code, phrases in refusals().items():
        assert languages.normalise(code) == code
        assert phrases
        assert all(isinstance(phrase, str) and phrase == phrase.lower() for phrase in phrases), code


PROMPT = "Describe this picture in one paragraph, with all its colours."


@pytest.mark.parametrize(
    ("text", "source", "good"),
    [
        (f"{PROMPT} {DOG}", "", False),
        ("describe THIS picture in one paragraph with all things", "", False),
        (f"ASSISTANT: {DOG}", "", False),
        (f"<|im_start|>{DOG}", "", False),
        (f"Sure! {DOG}", "", False),
        (f"Here is the translation: {DOG}", "", False),
        (f"Translation: {DOG}", "", False),
        ("This picture shows a dog in one corner.", "", True),
        (DOG, "", True),
        ("Here is the church, and here is the steeple.", "", True),
        (f"He said: {PROMPT}", f"She said: {PROMPT}", True),
    ],
)
def test_echo(text: str, source: str, good: bool):
    assert (problem(Echo(), judged(text, source=source, prompts=(PROMPT, "Go on"))) == "") == good


@pytest.mark.parametrize(
    "text",
    [
        "a red a red a red a red a red",
        "Egy kutya fut a fűben. Egy kutya fut a fűben. Egy kutya fut a fűben.",
        "ภาพของสุนัขสีแดงสีแดงสีแดงสีแดงสีแดง",
        "一只狗在跑，在跑，在跑，在跑，在跑，在跑",
        f"{DOG} It is very very very very very very very big",
        "rue – – – – – – – – – – –",
        "".join(f"{number}. A dog runs over the grass. " for number in range(1, 15)),
    ],
)
def test_repetition_finds_loops(text: str):
    assert problem(Repetition(), judged(text)) != ""


@pytest.mark.parametrize(
    "text",
    [
        DOG,
        "Wait... what? No, no, no!",
        "Một con ba ba bơi dưới hồ.",
        "gogogo",
        "Ha ha ha!",
        "Tower (red, large), tower (blue, large), cube (red, small); background – sea",
        "Három kutya játszik a parkban: az egyik fehér, a másik fekete, a harmadik foltos. Mögöttük egy piros pad áll, rajta egy "
        "idős férfi újságot olvas, mellette pedig egy kislány fagylaltot eszik, miközben a galambokat nézi.",
        "",
    ],
)
def test_repetition_passes_what_only_counts_or_lists(text: str):
    assert problem(Repetition(), judged(text)) == ""


def test_names_and_what_stands_on_a_sign_need_no_translation():
    source = 'Two men hold a sign that says "stop black deaths in custody" near Golden Gate Bridge in 1984.'
    text = "Zwei Männer halten ein Schild: „stop black deaths in custody“, nahe Golden Gate Bridge 1984."
    assert {"golden", "gate", "bridge", "1984", "stop", "custody"} <= names(source)
    assert "two" not in names(source)
    assert problem(Untranslated(), judged(text, "de", source)) == ""


def test_words_keep_the_marks_of_their_letters():
    assert words("สีเขียว, été! नमस्ते 3×") == ["สีเขียว", "été", "नमस्ते", "3"]


def test_short_texts_may_differ_in_length_by_chance():
    assert problem(Length(), judged("ház", "hu", "a house")) == ""
    assert problem(Length(), judged("hó", "hu", "?")) == ""
    assert weight("犬") > weight("개") > weight("d") == 1


def test_language():
    from mella_retrieval.data.language_id import LanguageIdentifier

    pytest.importorskip("lingua")
    tools = Tools(identifier=LanguageIdentifier())
    check = InLanguage()
    assert problem(check, judged("Egy barna kutya szalad a nedves fűben.", "hu", DOG), tools) == ""
    assert "Hungarian" in problem(check, judged("Un perro marrón corre por la hierba mojada.", "hu", DOG), tools)
    assert problem(check, judged("Un perro", "hu"), tools) == ""  # too short to tell


class KnowsHungarian:
    def knows(self, lang: str) -> bool:
        return lang == "hu"

    def probability(self, text: str, lang: str) -> float:
        return 0.0


def test_a_language_that_cannot_be_told_is_not_checked():
    tools = Tools(identifier=KnowsHungarian())
    assert InLanguage().measure([judged(DOG, "hu"), judged(DOG, "la")], tools) == [{"language": 0.0}, {}]
    assert problem(InLanguage(), judged(DOG, "hu"), tools) != ""
    assert problem(InLanguage(), judged(DOG, "la"), tools) == ""


@given(st.text(max_size=200), st.text(max_size=80), st.sampled_from(["en", "th", "zh", "ar", "sr-Latn", "la"]))
@settings(max_examples=60, deadline=None)
def test_no_text_breaks_a_check(text: str, source: str, lang: str):
    checks = active([check() for check in CHECKS.values()], Tools(), translation=bool(source))
    assert len(checks) >= 6
    outcome = judge(checks, [judged(text, lang, source, prompts=(PROMPT,))], Tools(), {})[0]
    assert all(math.isfinite(value) for value in outcome.scores.values())
    assert outcome.reason.startswith(tuple(CHECKS)) == bool(outcome.problems)


# Agreement ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def pocket_tower() -> TextTower:
    from mella_retrieval.encoders.loading import load_text_tower
    from mella_retrieval.pocket.towers import TEXT_TOWER

    return load_text_tower(TEXT_TOWER, device="cpu")


def margins(texts: list[Judged], tower: TextTower) -> list[float]:
    return [scores["agreement"] for scores in Agreement().measure(texts, Tools(tower=tower))]


@pytest.mark.parametrize("lang", ["hu", "th", "ar"])
def test_agreement_tells_the_translations_of_other_pictures(pocket_tower: TextTower, lang: str):
    rows = [views[0] for views in parallel(100).values()]
    right = [judged(row[lang], lang, row["en"]) for row in rows]
    swapped = [judged(rows[(place + 37) % len(rows)][lang], lang, row["en"]) for place, row in enumerate(rows[:20])]
    scores = margins([*swapped, *right[20:]], pocket_tower)
    assert max(scores[:20]) < 0.8
    assert min(scores[20:]) > 1


def test_agreement_needs_company(pocket_tower: TextTower):
    rows = [views[0] for views in parallel(12).values()]
    scores = Agreement().measure([judged(row["hu"], "hu", row["en"]) for row in rows], Tools(tower=pocket_tower))
    assert all(set(one) == {"cosine"} for one in scores)
    assert all(Agreement().problem(judged("x", "hu", "y"), one) == "" for one in scores)


def test_long_texts_are_read_in_parts_and_all_of_them_counts(pocket_tower: TextTower):
    sentence = "picture: sea. clock (purple, large) + cloth (orange); background – sea. "
    long = sentence * 12
    parts = readable_parts(pocket_tower, [(long, "en"), ("", "en"), ("clock", "en"), ("clock" * 200, "en")])
    assert [row for row, _, _ in parts] == sorted(row for row, _, _ in parts)
    assert "".join("".join(part.split()) for row, part, _ in parts if row == 0) == "".join(long.split())
    assert "".join(part for row, part, _ in parts if row == 3) == "clock" * 200
    assert 1 not in {row for row, _, _ in parts}
    assert max(pocket_tower.count_tokens([part for _, part, _ in parts])) <= pocket_tower.max_tokens
    other = "picture: desert. train – green. "
    ends_otherwise = long + other * 12
    vectors = encode(pocket_tower, [(other, "en"), (long, "en"), (ends_otherwise, "en"), ("", "en")], batch=3)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1] + 0.2
    assert not vectors[3].any()


@pytest.mark.real
def test_agreement_with_a_tower_that_never_read_such_texts(shared: Path):
    from mella_retrieval.encoders.loading import load_text_tower

    folder = shared.parent / "models" / "minimulti"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    tower = load_text_tower(f"sentence-transformers:{folder}", device="cpu")
    rows = [views[0] for views in parallel(100).values()]
    right = margins([judged(row["hu"], "hu", row["en"]) for row in rows], tower)
    order = list(range(len(rows)))
    Random(0).shuffle(order)
    swapped = margins([judged(rows[other]["hu"], "hu", row["en"]) for other, row in zip(order, rows, strict=True)], tower)
    told = sum(good > bad for good in right for bad in swapped) / len(right) / len(swapped)
    assert told > 0.97
