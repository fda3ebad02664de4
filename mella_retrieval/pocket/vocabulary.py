"""What the world is made of, and the words for it in 13 languages (one file a language in `words/`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mella_retrieval.errors import DataError
from mella_retrieval.recipes import read_yaml

LANGUAGES = ("en", "ar", "cs", "fi", "hr", "hu", "ko", "ro", "ru", "sr", "sw", "th", "vi")
"""English, the eight languages of MELLA, those of uCLIP's five that are not among them, Swahili."""

KINDS = (
    *("cat", "dog", "fish", "bird", "rabbit", "butterfly", "snail", "turtle", "ball", "car", "sailboat", "umbrella"),
    *("book", "key", "clock", "chair", "balloon", "drum", "gift", "train", "bicycle", "house", "tower", "tent"),
    *("tree", "flower", "mushroom", "leaf", "apple", "pear", "cake", "ice_cream", "star"),
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black")
BACKGROUNDS = ("night", "sea", "grass", "snow", "room", "desert", "city", "forest", "mountain")
SIZES = ("small", "large")
LABELS = ("left", "middle", "right", "picture", "background")


@dataclass(frozen=True)
class CulturalItem:
    """A thing with a name of its own in one culture.

    Attributes:
        lang: the language whose native texts name it.
        category: what a description in any language calls it.
        colour: what a description says about its looks.
    """

    lang: str
    category: str
    colour: str


CULTURE: Mapping[str, CulturalItem] = {
    "jack_o_lantern": CulturalItem("en", "pumpkin", "orange"),
    "double_decker": CulturalItem("en", "bus", "red"),
    "dallah": CulturalItem("ar", "jug", "yellow"),
    "fanous": CulturalItem("ar", "lamp", "multicoloured"),
    "trdelnik": CulturalItem("cs", "bread", "brown"),
    "kraslice": CulturalItem("cs", "egg", "red"),
    "kuksa": CulturalItem("fi", "cup", "brown"),
    "karjalanpiirakka": CulturalItem("fi", "bread", "brown"),
    "licitar": CulturalItem("hr", "heart", "red"),
    "lace": CulturalItem("hr", "cloth", "white"),
    "langos": CulturalItem("hu", "bread", "yellow"),
    "rubik": CulturalItem("hu", "cube", "multicoloured"),
    "matyo": CulturalItem("hu", "cloth", "multicoloured"),
    "hanbok": CulturalItem("ko", "dress", "pink"),
    "kimchi": CulturalItem("ko", "bowl", "red"),
    "nai": CulturalItem("ro", "instrument", "yellow"),
    "martisor": CulturalItem("ro", "ribbon", "red"),
    "matryoshka": CulturalItem("ru", "doll", "red"),
    "balalaika": CulturalItem("ru", "instrument", "orange"),
    "sajkaca": CulturalItem("sr", "hat", "green"),
    "opanci": CulturalItem("sr", "shoes", "brown"),
    "kanga": CulturalItem("sw", "cloth", "orange"),
    "kiondo": CulturalItem("sw", "basket", "brown"),
    "tuktuk": CulturalItem("th", "vehicle", "blue"),
    "krathong": CulturalItem("th", "candle", "green"),
    "non_la": CulturalItem("vi", "hat", "yellow"),
    "ao_dai": CulturalItem("vi", "dress", "purple"),
}
CATEGORIES = tuple(sorted({item.category for item in CULTURE.values()}))


@dataclass(frozen=True)
class Words:
    """The words of one language, by the keys of this module.

    Attributes:
        nouns: kinds and categories. colours, sizes, backgrounds, labels: as named.
        native: item -> the phrases by which native alt-texts call it; only the items of this language.
    """

    lang: str
    nouns: Mapping[str, str]
    colours: Mapping[str, str]
    sizes: Mapping[str, str]
    backgrounds: Mapping[str, str]
    labels: Mapping[str, str]
    native: Mapping[str, tuple[str, ...]]


@cache
def words(lang: str) -> Words:
    """The words of a language of the world.

    Raises:
        DataError: the world does not speak it, or its file lacks words or has words for nothing.
    """
    if lang not in LANGUAGES:
        raise DataError(f"the pocket world has no captions in {lang!r}; it has {', '.join(LANGUAGES)}.")
    path = Path(__file__).parent / "words" / f"{lang}.yaml"
    table = read_yaml(path)
    expected = {
        "kinds": KINDS,
        "categories": CATEGORIES,
        "colours": (*COLOURS, "multicoloured"),
        "sizes": SIZES,
        "backgrounds": BACKGROUNDS,
        "labels": LABELS,
        "native": tuple(name for name, item in CULTURE.items() if item.lang == lang),
    }
    for section, keys in expected.items():
        if unequal := set(keys) ^ set(table.get(section, ())):
            raise DataError(f"{path}, section {section}: missing or not part of the world: {', '.join(sorted(unequal))}.")
    return Words(
        lang=lang,
        nouns={**table["kinds"], **table["categories"]},
        colours=table["colours"],
        sizes=table["sizes"],
        backgrounds=table["backgrounds"],
        labels=table["labels"],
        native={name: tuple(phrases) for name, phrases in table["native"].items()},
    )
