"""What a method is fitted on: vectors chosen from embedding sets, and the part of them that is held out for selection."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.adapters.leccr.scenes import Scenes, open_scenes, without_descriptions
from mella_retrieval.adapters.sources import TRAIN, VALIDATION, Source, Sources
from mella_retrieval.adapters.translations import Translations, match_translations
from mella_retrieval.artifacts import Json
from mella_retrieval.embeddings.mapped import VectorRows, free_memory, in_order, rows_of
from mella_retrieval.embeddings.pseudo_pairs import store_pseudo_pairs
from mella_retrieval.embeddings.sets import Selection
from mella_retrieval.encoders.towers import TowerInfo, same_model
from mella_retrieval.errors import DataError, MismatchError, TrainingError

Rows = npt.NDArray[np.int64]
HELD_OUT = 0.1
MOST_HELD_OUT = 5_000
"""Ranking them is quadratic, and a selection needs no more."""

TEXT_SIDE = ("english_text", "text_bank", "pairs", "validation", "translations", "queries", "descriptions")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class English:
    """English texts in both text towers, row by row.

    Attributes:
        text: (n, d_x), multilingual text tower.
        clip_text: (n, d), the image tower's text tower.
        train, held_out: rows to fit on, rows to select on (texts of one picture stay together).
        final: rows for a last fit once the choice is made: all of them.
    """

    text: VectorRows
    clip_text: VectorRows
    train: Rows
    held_out: Rows
    final: Rows


@dataclass(frozen=True)
class Pairs:
    """Texts and their pictures.

    Attributes:
        text: (p, d_x), multilingual text tower.
        images: (n, d), one row per picture.
        image_rows: (p,), row of `images` that each text belongs to.
        langs: language of each text.
        origins: the column `source` of each text: `know`, `ling` or another; "" where there is none.
        whole: the text that each is a sentence of (column `part_of`); texts without are their own.
        train, held_out: texts to fit on, texts to select on (all texts of a picture are on one side).
        final: texts for a last fit once the choice is made; a validation split of the data itself is never among them.
    """

    text: VectorRows
    images: VectorRows
    image_rows: Rows
    langs: Sequence[str]
    origins: Sequence[str]
    whole: Sequence[str]
    train: Rows
    held_out: Rows
    final: Rows


@dataclass(frozen=True)
class Inputs:
    """Everything at hand for fitting; what was not given is None.

    Attributes:
        text_tower, image_tower: the towers that the adapter joins.
        image_vectors: (n, d) pictures, without pairing.
        pseudo_images, pseudo_texts: (m, d) and (m, d_x): soft retrieval for each English text (see `pseudo_pairs`).
        languages: of all texts that a method may see.
        description: fingerprints and sizes, for the adapter's configuration.
        seed: of splits, initial weights and batches.
        translations: texts in other languages of the English texts.
        queries: (q, d_x) texts like those that will be asked, for hubness correction.
        scenes: token vectors of the pictures of `pairs`, row by row, and of their descriptions.
    """

    text_tower: TowerInfo
    image_tower: TowerInfo
    english: English | None
    pairs: Pairs | None
    image_vectors: VectorRows | None
    pseudo_images: VectorRows | None
    pseudo_texts: VectorRows | None
    have: frozenset[str]
    languages: list[str]
    description: Json
    seed: int
    translations: Translations | None = None
    queries: VectorRows | None = None
    scenes: Scenes | None = None

    def without_held_out(self) -> Inputs:
        """The same inputs for a fit that must not see the held-out rows, not even in the end."""
        english = self.english and replace(self.english, final=self.english.train)
        pairs = self.pairs and replace(self.pairs, final=self.pairs.train)
        return replace(self, english=english, pairs=pairs)

    def shuffled(self) -> Inputs:
        """The same inputs with the correspondence of the two sides destroyed: what is fitted on it must fall to chance."""
        generator = np.random.default_rng(self.seed)
        english, pairs, pseudo, scenes = self.english, self.pairs, self.pseudo_images, self.scenes
        if english is not None:
            order = generator.permutation(len(english.clip_text))
            english = replace(english, clip_text=in_order(english.clip_text, order))
            pseudo = in_order(pseudo, order) if pseudo is not None else None
        if pairs is not None:
            order = generator.permutation(len(pairs.images))
            pairs = replace(pairs, images=in_order(pairs.images, order))
            scenes = scenes.take(order) if scenes is not None else None  # a picture keeps its own description
        return replace(self, english=english, pairs=pairs, pseudo_images=pseudo, scenes=scenes)


@dataclass(frozen=True)
class PseudoPairs:
    """How pseudo-pairs are made: exactly, or from the `top` most similar bank vectors (an approximation, measured)."""

    work: Path
    top: int | None = None


def load_inputs(sources: Sources, seed: int, *, pseudo_pairs: PseudoPairs | None = None, in_memory: bool | None = None) -> Inputs:
    """Open the sources, match their rows and hold out the selection part.

    Args:
        sources: what is at hand.
        seed: of the held-out part.
        pseudo_pairs: compute (or find stored) pseudo-pairs, where the English texts and both banks are given.
        in_memory: vectors in memory, or memory-mapped; by default in memory if they take less than half of what is free.

    Raises:
        DataError: rows do not match or nothing is left.
        MismatchError: sets that should share a tower do not.
        TrainingError: one side is missing, or there is too little to hold out a tenth.
    """
    if sources.validation and not sources.pairs:
        raise TrainingError("validation pairs were given without pairs to fit on: name pairs too, or leave validation out.")
    opened = {name: Source.open(text) for name, text in sources.named().items()}
    text_tower, image_tower = _text_tower(opened), _image_tower(opened)
    chosen = _english_texts(opened)
    chosen |= {name: opened[name].select() for name in ("image_vectors", "text_bank") if name in opened}
    if in_memory is None:
        in_memory = sum(source.vectors.rows_bytes for source in opened.values()) <= free_memory() // 2
    generator = np.random.default_rng(seed)
    pairs = pictures = None
    if "descriptions" in opened:
        chosen["descriptions"] = opened["descriptions"].select(split=())
    if "pairs" in opened:
        pairs, chosen["pairs"], pictures = _load_pairs(opened, chosen.get("descriptions"), generator, in_memory)
    english = None
    if {"english_text", "clip_text"} <= chosen.keys():
        english = _load_english(chosen["english_text"], chosen["clip_text"], generator, in_memory)
    pseudo: list[VectorRows | None] = [None, None]
    if pseudo_pairs is not None and english is not None and {"image_vectors", "text_bank"} <= chosen.keys():
        for side, (queries, bank) in enumerate((("clip_text", "image_vectors"), ("english_text", "text_bank"))):
            out = pseudo_pairs.work / ("pseudo-images", "pseudo-texts")[side]
            made = store_pseudo_pairs(chosen[queries], chosen[bank], out, top=pseudo_pairs.top)
            pseudo[side] = rows_of(made.select(), in_memory=in_memory)
    translations = None
    if english is not None and "translations" in opened:
        chosen["translations"] = opened["translations"].select()
        translations = match_translations(chosen["translations"], chosen["english_text"].ids, in_memory=in_memory)
    if "queries" in opened:
        chosen["queries"] = opened["queries"].select()
    described = dict(chosen)
    if "validation" in opened:
        described["validation"] = opened["validation"].select(split=VALIDATION)
    return Inputs(
        text_tower=text_tower,
        image_tower=image_tower,
        english=english,
        pairs=pairs,
        image_vectors=rows_of(chosen["image_vectors"], in_memory=in_memory) if "image_vectors" in chosen else None,
        pseudo_images=pseudo[0],
        pseudo_texts=pseudo[1],
        translations=translations,
        queries=rows_of(chosen["queries"], in_memory=in_memory) if "queries" in chosen else None,
        have=frozenset(chosen),
        languages=_languages(part for name, part in chosen.items() if name in TEXT_SIDE),
        description={name: {"rows": len(part), "fingerprint": part.fingerprint} for name, part in described.items()},
        seed=seed,
        scenes=open_scenes(pictures, chosen.get("descriptions")),
    )


def _english_texts(opened: dict[str, Source]) -> dict[str, Selection]:
    """English texts of the towers that have them; where both have, matched by id."""
    chosen: dict[str, Selection] = {
        name: opened[name].select(lang="en") for name in ("english_text", "clip_text") if name in opened
    }
    if len(chosen) < 2:
        return chosen
    text, clip = chosen["english_text"], chosen["clip_text"]
    places = {key: place for place, key in enumerate(clip.ids)}
    matched = [(row, places[key]) for row, key in enumerate(text.ids) if key in places]
    if not matched:
        names = f"{opened['english_text'].text} stands in {opened['clip_text'].text}"
        raise DataError(f"no id of {names}; both must hold the same English texts.")
    if len(matched) < max(len(text), len(clip)):
        log.warning("%d of %d English texts stand in both sets and are used", len(matched), max(len(text), len(clip)))
    rows = np.array(matched, dtype=np.int64)
    return {"english_text": text.take(rows[:, 0]), "clip_text": clip.take(rows[:, 1])}


def _load_english(text: Selection, clip: Selection, generator: np.random.Generator, in_memory: bool) -> English:
    groups = text.column("image_id") if text.has_column("image_id") else text.ids
    train, held_out = _hold_out([group or key for group, key in zip(groups, text.ids, strict=True)], generator)
    multilingual, own = (rows_of(side, in_memory=in_memory) for side in (text, clip))
    return English(multilingual, own, train, held_out, np.arange(len(text)))


def _load_pairs(
    opened: dict[str, Source], descriptions: Selection | None, generator: np.random.Generator, in_memory: bool
) -> tuple[Pairs, Selection, Selection]:
    """The pairs, the texts that are fitted on, and the pictures in the order of `Pairs.images`."""
    if "image_vectors" not in opened:
        raise TrainingError("pairs need image_vectors: the pictures that their column image_id names.")
    texts, images = opened["pairs"], opened["image_vectors"].select(split=(*TRAIN, *VALIDATION))
    train, held_out = texts.select(), texts.validation()
    if "validation" in opened:
        held_out = opened["validation"].select(split=VALIDATION)
    if descriptions is not None:
        train = without_descriptions(train, descriptions, "pairs")
        held_out = without_descriptions(held_out, descriptions, "validation") if held_out is not None else None
    carved = held_out is None
    if held_out is None:
        chosen, rest = _hold_out(train.column("image_id"), generator)
        train, held_out = train.take(chosen), train.take(rest)
    places = {key: row for row, key in enumerate(images.ids)}
    (train, train_rows), (held_out, held_out_rows) = (_with_image(part, places) for part in (train, held_out))
    _refuse_overlap(train_rows, held_out_rows, texts.text)
    used, image_rows = np.unique(np.concatenate([train_rows, held_out_rows]), return_inverse=True)
    fit, rest = np.arange(len(train)), np.arange(len(train), len(image_rows))
    pictures = images.take(used)
    pairs = Pairs(
        text=rows_of(train, held_out, in_memory=in_memory),
        images=rows_of(pictures, in_memory=in_memory),
        image_rows=image_rows,
        langs=[lang for part in (train, held_out) for lang in _langs(part)],
        origins=[origin for part in (train, held_out) for origin in _column(part, "source")],
        whole=[whole or key for part in (train, held_out) for whole, key in zip(_column(part, "part_of"), part.ids, strict=True)],
        train=fit,
        held_out=rest,
        final=np.arange(len(image_rows)) if carved else fit,
    )
    return pairs, train, pictures


def _refuse_overlap(train: Rows, held_out: Rows, name: str) -> None:
    shared = np.intersect1d(train, held_out)
    if len(shared):
        raise DataError(
            f"{len(shared)} pictures of {name} are to be fitted on and to select by; choose other rows for one of them "
            "('SET?column=value'), or leave --validation out."
        )


def _with_image(texts: Selection, places: dict[str, int]) -> tuple[Selection, Rows]:
    """Texts whose picture has a vector, and the pictures' rows."""
    rows = np.array([places.get(str(key), -1) for key in texts.column("image_id")], dtype=np.int64)
    found = np.flatnonzero(rows >= 0)
    if not len(found):
        raise DataError(f"no image_id of the {len(rows)} texts in {texts.source.folder} stands among the image_vectors.")
    if len(found) < len(rows):
        missing = len(rows) - len(found)
        log.warning("%d of %d texts in %s name a picture without a vector", missing, len(rows), texts.source.folder)
    return texts.take(found), rows[found]


def _langs(texts: Selection) -> list[str]:
    return _column(texts, "lang")


def _column(texts: Selection, name: str) -> list[str]:
    return [value or "" for value in texts.column(name)] if texts.has_column(name) else [""] * len(texts)


def _hold_out(groups: Sequence[Any], generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Split rows by group: nine tenths of the groups, and a tenth that is held out."""
    names = sorted({str(group) for group in groups})
    if len(names) < 10:
        raise TrainingError(f"{len(names)} distinct texts or pictures are too few to hold out a tenth of them; give at least 10.")
    count = min(max(2, round(HELD_OUT * len(names))), MOST_HELD_OUT)
    chosen = {names[index] for index in generator.permutation(len(names))[:count]}
    inside = np.array([str(group) in chosen for group in groups])
    return np.flatnonzero(~inside), np.flatnonzero(inside)


def _text_tower(opened: dict[str, Source]) -> TowerInfo:
    """The one tower behind every set of the text side."""
    towers = {name: _tower(opened, name, "text") for name in TEXT_SIDE if name in opened}
    if not towers:
        raise TrainingError(f"no text vectors were given; name embedding sets for at least one of: {', '.join(TEXT_SIDE[:3])}.")
    (first_name, first), *others = towers.items()
    for name, tower in others:
        if tower.dim != first.dim or not same_model(first, tower):
            raise MismatchError(f"{first_name} was made by {first.spec} and {name} by {tower.spec}: they must share one tower.")
        if tower.preparation != first.preparation:
            raise MismatchError(
                f"{first_name} and {name} were made by {first.spec} with different text preparations: {first.preparation} and "
                f"{tower.preparation}. Embed one of them again."
            )
    return first


def _image_tower(opened: dict[str, Source]) -> TowerInfo:
    """The image tower; where no picture is given, it is known by its text tower only (weights are shared, so is the space)."""
    images = _tower(opened, "image_vectors", "image") if "image_vectors" in opened else None
    clip = _tower(opened, "clip_text", "text") if "clip_text" in opened else None
    if images is not None and clip is not None and (images.dim != clip.dim or not same_model(images, clip)):
        raise MismatchError(f"image_vectors ({images.spec}) and clip_text ({clip.spec}) are not two towers of one model.")
    if images is not None:
        return images
    if clip is None:
        raise TrainingError("no side to align to was given: name image_vectors, clip_text, or both.")
    return clip.model_copy(update={"modality": "image", "preparation": {}})


def _tower(opened: dict[str, Source], name: str, modality: str) -> TowerInfo:
    tower = opened[name].vectors.tower
    if tower.modality != modality:
        raise MismatchError(f"{name} must hold {modality} vectors, but {opened[name].text} holds {tower.modality} vectors.")
    return tower


def _languages(texts: Iterable[Selection]) -> list[str]:
    return sorted({lang for part in texts for lang in _langs(part) if lang}) or ["en"]
