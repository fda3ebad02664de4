"""Right translations, and the same with one planted damage each: what the checks of `mella data ling` are measured on."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
from common import DATA

from mella_retrieval.pocket.captions import captions
from mella_retrieval.pocket.scenes import draw_scenes, split_sizes
from mella_retrieval.pocket.vocabulary import LANGUAGES

MULTI30K = DATA / "multi30k" / "parallel.parquet"
PHOTOS = DATA / "flickr8k-photos" / "captions.parquet"
XM3600 = DATA / "xm3600" / "captions_first.jsonl.gz"

PROMPTS = ("Translate the following description of a picture into the target language and write nothing else.",)
"""What a chat model might have been told; for the damage `prompt repeated`."""

REFUSALS = {
    "ar": "أعتذر، لكنني لا أستطيع رؤية الصورة التي أرسلتها.",
    "cs": "Omlouvám se, ale tento obrázek popsat nemohu.",
    "de": "Es tut mir leid, aber ich kann dieses Bild nicht beschreiben.",
    "en": "I'm sorry, but I can't help with describing this image.",
    "fi": "Olen pahoillani, mutta en voi kuvailla tätä kuvaa.",
    "fr": "Je suis désolé, mais je ne peux pas décrire cette image.",
    "hr": "Žao mi je, ali ne mogu opisati ovu sliku.",
    "hu": "Sajnálom, de ezt a képet nem tudom leírni.",
    "ko": "죄송하지만 이 이미지를 설명해 드릴 수 없습니다.",
    "ro": "Îmi pare rău, dar nu pot descrie această imagine.",
    "ru": "К сожалению, я не могу описать это изображение.",
    "sr": "Жао ми је, али не могу да опишем ову слику.",
    "sw": "Samahani, siwezi kuelezea picha hii.",
    "th": "ขออภัย ฉันไม่สามารถอธิบายภาพนี้ได้",
    "vi": "Xin lỗi, tôi không thể mô tả hình ảnh này.",
    "zh": "很抱歉，我无法描述这张图片。",
}
"""Sentences as assistants decline with; written before the list of phrases was looked at again, and not taken from it."""


@dataclass(frozen=True)
class Pair:
    """A source and its translation. `others`: translations of the same source into other languages."""

    source: str
    text: str
    others: Mapping[str, str]


@dataclass(frozen=True)
class Material:
    """Pairs of one kind in one language. `exact`: the texts are translations, not two captions of one picture."""

    name: str
    lang: str
    pairs: Sequence[Pair]
    exact: bool = True

    def half(self, test: bool) -> Material:
        """Every second pair: the development half, or the test half."""
        return Material(self.name, self.lang, self.pairs[int(test) :: 2], self.exact)


def pocket(scenes: int = 600, seed: int = 77) -> list[Material]:
    """The pocket world's captions: the same form of the same scene in 13 languages, so translations to the word."""
    drawn = [scene for _, scene in draw_scenes(seed, split_sizes(scenes))]
    Random(0).shuffle(drawn)
    rows = [{lang: captions(lang, scene, 1, Random(number))[0][1] for lang in LANGUAGES} for number, scene in enumerate(drawn)]
    return _materials("pocket world", rows)


def sentences(count: int = 1200) -> list[Material]:
    """Multi30K: English captions and their translations by people into German, French and Czech."""
    return _materials("sentences", _multi30k()[:count])


def paragraphs(count: int = 400, of: int = 7) -> list[Material]:
    """Seven such sentences in a row, about 90 words: as long as a tower's 64 tokens allow no more."""
    rows = _multi30k()
    blocks = [rows[start : start + of] for start in range(2000, 2000 + count * of, of)]
    texts = [{lang: " ".join(row[lang].strip() for row in block) for lang in block[0]} for block in blocks]
    return _materials("paragraphs", texts)


def _multi30k() -> list[dict[str, str]]:
    """Sentences that are there in all four languages."""
    rows = ({lang: row[lang] for lang in ("en", "de", "fr", "cs")} for row in _rows(MULTI30K))
    return [row for row in rows if all(len(text) > 3 for text in row.values())]


def photos() -> list[Material]:
    """Two captions of one photo by two people: near in meaning, no translations. The text tower has read none of them."""
    by_photo: dict[str, dict[str, str]] = defaultdict(dict)
    for row in _rows(PHOTOS):
        by_photo[row["image_id"]].setdefault(row["lang"], row["text"].replace(" .", "."))
    return [
        Material("photos", lang, [Pair(row["en"], row[lang], {}) for row in by_photo.values() if lang in row], exact=False)
        for lang in ("ar", "cs", "de", "fr", "zh")
    ]


def native() -> dict[str, list[str]]:
    """XM3600's first captions by language: right texts that no check of a single text should reject."""
    found: dict[str, list[str]] = defaultdict(list)
    with gzip.open(XM3600) as lines:
        for line in lines:
            for lang, value in json.loads(line).items():
                if isinstance(value, dict) and "caption" in value:
                    found[lang].append(value["caption"][0])
    return dict(sorted(found.items()))


def _rows(path: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = pq.read_table(path).to_pylist()
    return rows


def _materials(name: str, rows: Sequence[Mapping[str, str]]) -> list[Material]:
    langs = [lang for lang in rows[0] if lang != "en"]
    return [
        Material(
            name, lang, [Pair(row["en"], row[lang], {k: v for k, v in row.items() if k not in ("en", lang)}) for row in rows]
        )
        for lang in langs
    ]


# Damage: (pair, the pair behind it in the list, language, random numbers) -> the damaged text ----------------------------

Damage = Callable[[Pair, Pair, str, Random], str]
CLOSE = {"hr": "sr", "sr": "ru", "cs": "hr", "ru": "sr", "fr": "de", "de": "fr"}
"""For the damage `wrong language`: a near one where the material has it."""


def _cut(share: float) -> Damage:
    def damage(pair: Pair, other: Pair, lang: str, rng: Random) -> str:
        return pair.text[: max(1, round(share * len(pair.text)))]

    return damage


def _pieces(text: str) -> list[str]:
    return text.split() if " " in text.strip() else list(text)


def _join(pieces: Sequence[str], text: str) -> str:
    return (" " if " " in text.strip() else "").join(pieces)


def _loop(pair: Pair, other: Pair, lang: str, rng: Random) -> str:
    pieces = _pieces(pair.text)
    kept = rng.randint(1, max(1, len(pieces) // 2))
    size = rng.randint(1, min(kept, 6))
    return _join(pieces[:kept] + pieces[kept - size : kept] * rng.randint(4, 30), pair.text)


def _numbered(pair: Pair, other: Pair, lang: str, rng: Random) -> str:
    start = _join(_pieces(pair.text)[:4], pair.text)
    return " ".join(f"{number}. {start}." for number in range(1, rng.randint(8, 20)))


def _half_translated(pair: Pair, other: Pair, lang: str, rng: Random) -> str:
    source, own = pair.source.split(), _pieces(pair.text)
    return _join(own[: len(own) // 2], pair.text) + " " + " ".join(source[len(source) // 2 :])


def _wrong_language(pair: Pair, other: Pair, lang: str, rng: Random) -> str:
    near = CLOSE.get(lang, "")
    return pair.others[near if near in pair.others else rng.choice(sorted(pair.others))]


def _question_marks(pair: Pair, other: Pair, lang: str, rng: Random) -> str:
    return "".join("?" if ord(letter) > 127 else letter for letter in pair.text)


def _as_latin(pair: Pair, other: Pair, lang: str, rng: Random) -> str:
    return pair.text.encode().decode("cp1252", "replace" if rng.random() < 0.5 else "ignore")


def _one_lost(pair: Pair, other: Pair, lang: str, rng: Random) -> str:
    place = rng.randrange(len(pair.text))
    return pair.text[:place] + "\ufffd" + pair.text[place + 1 :]


DAMAGES: Mapping[str, tuple[str, Damage]] = {
    "nothing": ("empty", lambda pair, other, lang, rng: rng.choice(["", "...", " – ", "1."])),
    "UTF-8 read as Windows-1252": ("encoding", _as_latin),
    "letters that became ?": ("encoding", _question_marks),
    "one letter that became U+FFFD": ("encoding", _one_lost),
    "HTML entity": ("encoding", lambda pair, other, lang, rng: pair.text.replace(" ", " &amp; ", 1) + "&nbsp;"),
    "refusal": ("refusal", lambda pair, other, lang, rng: REFUSALS[lang]),
    "refusal in English": ("refusal", lambda pair, other, lang, rng: REFUSALS["en"]),
    "prompt repeated": ("echo", lambda pair, other, lang, rng: f"{PROMPTS[0]} {pair.text}"),
    "mark of a conversation": (
        "echo",
        lambda pair, other, lang, rng: (
            rng.choice(["ASSISTANT: ", "Here is the translation:\n", "<|im_start|>", "Translation: "]) + pair.text
        ),
    ),
    "loop": ("repetition", _loop),
    "numbered list of the same": ("repetition", _numbered),
    "source left as it is": ("untranslated", lambda pair, other, lang, rng: pair.source),
    "second half left": ("untranslated", _half_translated),
    "cut to 30 %": ("length", _cut(0.3)),
    "cut to 50 %": ("length", _cut(0.5)),
    "cut to 80 %": ("ending", _cut(0.8)),
    "three more texts added": ("length", lambda pair, other, lang, rng: f"{pair.text} {other.text} {other.text} {pair.text}"),
    "wrong language": ("language", _wrong_language),
    "another picture's": ("agreement", lambda pair, other, lang, rng: other.text),
}
"""Name -> (the check that is meant to find it, the damage)."""


def damaged(material: Material, damage: Damage) -> list[str]:
    """The damaged text of each pair. The other pair is one a third of the list away."""
    count = len(material.pairs)
    rng = Random(f"{material.name}/{material.lang}")
    return [
        damage(pair, material.pairs[(number + count // 3) % count], material.lang, rng)
        for number, pair in enumerate(material.pairs)
    ]
