"""Pictures, parallel texts of the pocket world, and models that are no models."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from mella_retrieval.data.ling.contracts import Ask, Failed, Picture
from mella_retrieval.data.ling.recipe import LingRecipe
from mella_retrieval.data.ling.report import LingReport
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.languages import Language
from mella_retrieval.pocket.captions import captions
from mella_retrieval.pocket.scenes import draw_scenes, split_sizes
from mella_retrieval.recipes import build_config

LANGS = ("en", "hu", "th", "sr", "ar", "fi")


def parallel(scenes: int = 72, views: int = 1, seed: int = 3) -> dict[str, list[dict[str, str]]]:
    """image_id -> for each view its text by language; the texts of a view translate one another to the word.

    Every description stands once.
    """
    known: set[str] = set()
    rows: dict[str, list[dict[str, str]]] = {}
    for number, (_, scene) in enumerate(draw_scenes(seed, split_sizes(scenes))):
        said = {lang: captions(lang, scene, views, Random(number)) for lang in LANGS}
        english = [text for _, text in said["en"]]
        if known & {*english} or len(english) > len({*english}):
            continue
        known.update(english)
        rows[f"p{len(rows):03d}"] = [{lang: said[lang][view][1] for lang in LANGS} for view in range(views)]
    return rows


def picture_records(folder: Path, image_ids: Sequence[str], **extras: Any) -> Records:
    """Two records for each picture, a grey PNG whose shade is its number."""
    pictures = folder.parent / f"{folder.name}-pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for number, image_id in enumerate(image_ids):
        Image.new("L", (4, 4), number % 256).save(pictures / f"{image_id}.png")
    items = [
        RawRecord(image_id, f"{image_id}.png", f"{caption} of {image_id}", "en", "know", extras={"split": "train", **extras})
        for image_id in image_ids
        for caption in ("alt-text", "title")
    ]
    write_records(folder, items, image_root=pictures, overwrite=True)
    return Records.load(folder)


def write_table(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    """A CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def recipe(languages: Sequence[str] = ("hu",), **changes: Any) -> LingRecipe:
    """Without the check of the language, whose models take long to load, unless `language=True`; and without that of the ending,
    since pocket captions are lists that end with no mark.
    """
    checks = {"ending": None, **({} if changes.pop("language", False) else {"language": None}), **changes.pop("checks", {})}
    values = {"translate": {"languages": list(languages)}, "checks": checks, **changes}
    return build_config(LingRecipe, values, "the recipe")


class Describing:
    """A captioner that knows what to say.

    Args:
        said: image_id -> descriptions.
        fits: larger batches run out of memory.
        breaks: image_ids at which it raises.
    """

    name = "stand-in:describing"
    reads_pictures = True

    def __init__(self, said: dict[str, list[str]], *, fits: int = 1000, breaks: Sequence[str] = ()) -> None:
        self.said, self.fits, self.breaks = said, fits, set(breaks)
        self.fingerprint = "describing"
        self.batches: list[list[str]] = []
        self.asks: list[Ask] = []
        self.closed = 0

    @property
    def asked(self) -> list[str]:
        return [image_id for batch in self.batches for image_id in batch]

    def describe(self, pictures: Sequence[Picture], ask: Ask) -> Sequence[Sequence[str] | Failed]:
        if len(pictures) > self.fits:
            raise MemoryError
        if broken := [picture.image_id for picture in pictures if picture.image_id in self.breaks]:
            raise RuntimeError(f"cannot see {broken[0]}")
        assert all(picture.image is not None and picture.image.mode == "RGB" for picture in pictures)
        self.batches.append([picture.image_id for picture in pictures])
        self.asks.append(ask)
        return [self.said[picture.image_id][: len(ask.prompts)] for picture in pictures]

    def close(self) -> None:
        self.closed += 1


class Translating:
    """A translator that knows what to say: (text, language) -> translation; unknown ones fail."""

    name = "stand-in:translating"
    prompts: tuple[str, ...] = ()

    def __init__(self, said: dict[tuple[str, str], str], *, fits: int = 1000) -> None:
        self.said, self.fits = said, fits
        self.fingerprint = "translating"
        self.batches: list[tuple[str, list[str]]] = []
        self.closed = 0

    @classmethod
    def right(cls, rows: dict[str, list[dict[str, str]]], **options: Any) -> Translating:
        said = {(row["en"], lang): row[lang] for views in rows.values() for row in views for lang in LANGS}
        return cls(said, **options)

    @property
    def asked(self) -> list[tuple[str, str]]:
        return [(lang, text) for lang, batch in self.batches for text in batch]

    def require(self, source: Language, target: Language) -> None:
        pass

    def translate(self, texts: Sequence[str], source: Language, target: Language) -> Sequence[str | Failed]:
        if len(texts) > self.fits:
            raise MemoryError
        self.batches.append((target.code, list(texts)))
        return [self.said.get((text, target.code), Failed("unknown text")) for text in texts]

    def close(self) -> None:
        self.closed += 1


class ModuleDescribing:
    """A captioner for `module:ling_material:ModuleDescribing`."""

    version = "1"

    def __init__(self, word: str = "picture") -> None:
        self.word = word

    def describe(self, pictures: Sequence[Picture], ask: Ask) -> list[list[str]]:
        return [[f"A {self.word} named {picture.image_id}."] for picture in pictures]


class ModuleTranslating:
    """A translator for `module:ling_material:ModuleTranslating`."""

    def translate(self, texts: Sequence[str], source: Language, target: Language) -> list[str]:
        return [f"{target.flores}: {text}" for text in texts]


class Unmakeable:
    def __init__(self) -> None:
        raise ValueError("no weights")


def describing(rows: dict[str, list[dict[str, str]]], **options: Any) -> Describing:
    return Describing({image_id: [view["en"] for view in views] for image_id, views in rows.items()}, **options)


def skipped(folder: Path) -> list[dict[str, str]]:
    with (folder / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def adds_up(report: LingReport, folder: Path) -> None:
    """Counts in = kept + rejected with reason, for every language and for the whole."""
    for one in report.texts.values():
        assert one.asked == one.kept + one.failed + one.rejected.total()
    source, *targets = report.texts.values()
    assert all(one.asked == source.kept for one in targets)
    written = report.written
    assert written is not None
    assert written.read == report.undescribed.total() + sum(one.asked for one in report.texts.values())
    assert written.read == written.kept + sum(written.rejected.values())
    assert len(skipped(folder)) == sum(written.rejected.values())
    assert len(Records.load(folder)) == written.kept
