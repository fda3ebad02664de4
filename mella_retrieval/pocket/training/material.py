"""What the towers learn from: scenes of their own, never a scene of a world, never a held-out combination."""

from __future__ import annotations

from random import Random

import numpy as np
from PIL.Image import Resampling

from mella_retrieval.pocket.captions import FORMS, captions
from mella_retrieval.pocket.pictures import draw_picture
from mella_retrieval.pocket.scenes import Scene, draw_scenes
from mella_retrieval.pocket.vocabulary import LANGUAGES


def training_scenes(seed: int, number: int) -> list[Scene]:
    """`number` scenes drawn as the training split of a world is, from a lot that no world uses."""
    return [scene for _, scene in draw_scenes(f"towers/{seed}", {"train": number})]


def pictures(scenes: list[Scene], seed: int, side: int) -> np.ndarray:
    """Pictures of the scenes as uint8 of shape (n, side, side, 3), made smaller as the image tower's preprocessing does."""
    drawn = np.empty((len(scenes), side, side, 3), np.uint8)
    for number, scene in enumerate(scenes):
        picture = draw_picture(scene, Random(f"picture/towers/{seed}/{number}"))
        drawn[number] = np.asarray(picture.resize((side, side), Resampling.BICUBIC))
    return drawn


def english(scenes: list[Scene], seed: int) -> list[list[str]]:
    """Every scene's English texts: a description in each form, and the alt-text of an English cultural item."""
    lots = (Random(f"en/towers/{seed}/{number}") for number in range(len(scenes)))
    return [[text for _, text in captions("en", scene, FORMS, rng)] for scene, rng in zip(scenes, lots, strict=True)]


def parallel(scenes: list[Scene], seed: int) -> dict[str, list[str]]:
    """Language -> one description of every scene: row i of every language says the same."""
    return {
        lang: [captions(lang, scene, 1, Random(f"{lang}/towers/{seed}/{number}"))[0][1] for number, scene in enumerate(scenes)]
        for lang in LANGUAGES
    }


def native_paraphrases(scenes: list[Scene], seed: int) -> list[tuple[str, str]]:
    """Pairs of native alt-texts in one language that name the same things; they say nothing about how those look."""
    pairs = []
    for number, scene in enumerate(scenes):
        for lang in LANGUAGES:
            lots = [Random(f"{lang}/towers/{seed}/{number}/{side}") for side in "ab"]
            texts = [[text for kind, text in captions(lang, scene, 1, rng) if kind == "know"] for rng in lots]
            if texts[0]:
                pairs.append((texts[0][0], texts[1][0]))
    return pairs
