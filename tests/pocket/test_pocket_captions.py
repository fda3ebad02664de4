from __future__ import annotations

import re
import unicodedata
from random import Random

import pytest

from mella_retrieval.errors import DataError
from mella_retrieval.pocket.captions import FORMS, captions
from mella_retrieval.pocket.scenes import Scene, Thing, draw_scenes
from mella_retrieval.pocket.vocabulary import CULTURE, LANGUAGES, words

SCRIPTS = {"ar": "ARABIC", "ko": "HANGUL", "ru": "CYRILLIC", "sr": "CYRILLIC", "th": "THAI"}
SCENES = [scene for _, scene in draw_scenes(7, {"train": 150, "test": 150})]


def texts(lang: str, kind: str, number: int = 1) -> list[tuple[Scene, str]]:
    return [
        (scene, text)
        for place, scene in enumerate(SCENES)
        for own, text in captions(lang, scene, number, Random(place))
        if own == kind
    ]


def says(text: str, name: str) -> bool:
    """Whether a text names something in whole words: Finnish "kangas" is no Swahili "kanga"."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


@pytest.mark.parametrize("lang", LANGUAGES)
def test_captions_are_written_in_the_script_of_their_language(lang: str) -> None:
    for _, text in texts(lang, "ling") + texts(lang, "know"):
        letters = [unicodedata.name(char).split()[0] for char in text if unicodedata.category(char) in ("Ll", "Lu", "Lo")]
        assert letters
        assert set(letters) == {SCRIPTS.get(lang, "LATIN")}, text


@pytest.mark.parametrize("lang", LANGUAGES)
def test_captions_are_composed_unicode_without_doubled_or_outer_spaces(lang: str) -> None:
    for _, text in texts(lang, "ling", FORMS) + texts(lang, "know"):
        assert text == unicodedata.normalize("NFC", text)
        assert text == " ".join(text.split())


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_description_says_everything_about_its_scene_in_every_form(lang: str) -> None:
    table = words(lang)
    for scene, text in texts(lang, "ling", FORMS):
        said = [table.backgrounds[scene.background]]
        for thing in scene.things:
            said += [table.nouns[thing.noun], table.colours[thing.colour]]
            said += [table.sizes[thing.size]] if thing.size else []
            said += [f"× {thing.count}"] if thing.count > 1 else []
        assert all(word in text for word in said), text


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_forms_of_one_description_differ(lang: str) -> None:
    scene = Scene("sea", (Thing("cat", "red"), Thing("house", "blue", "large")))
    forms = [text for _, text in captions(lang, scene, FORMS, Random(0))]
    assert len(set(forms)) == FORMS


@pytest.mark.parametrize("item", CULTURE)
def test_only_the_native_language_names_a_cultural_item(item: str) -> None:
    culture = CULTURE[item]
    scene = Scene("night", (Thing(item, culture.colour), Thing("key", "red")))
    names = words(culture.lang).native[item]
    for lang in LANGUAGES:
        written = captions(lang, scene, FORMS, Random(1))
        native = [text for kind, text in written if kind == "know"]
        described = [text for kind, text in written if kind == "ling"]
        assert bool(native) == (lang == culture.lang)
        assert not any(says(text, name) for name in names for text in described)
        for text in native:
            assert any(says(text, name) for name in names)
            assert words(lang).nouns["key"] in text


def test_a_native_text_does_not_describe_what_it_names() -> None:
    for lang in LANGUAGES:
        table = words(lang)
        for item in table.native:
            scene = Scene("sea", (Thing(item, CULTURE[item].colour, "large"),))
            text = dict(captions(lang, scene, 1, Random(2)))["know"]
            assert table.sizes["large"] not in text
            assert table.colours[CULTURE[item].colour] not in text


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("section", ["nouns", "colours", "sizes", "backgrounds", "labels"])
def test_no_two_words_of_a_language_are_the_same(lang: str, section: str) -> None:
    table = getattr(words(lang), section)
    assert len(set(table.values())) == len(table)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(DataError, match="no captions in 'de'"):
        words("de")
