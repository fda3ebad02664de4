"""What fine-tuning cost: reading English words on signs, asked as MME asks (OCR fell from 162.5 to 110.0 in one published run).

Pictures with one word each are drawn with Pillow's own font. They come in pairs: each of a pair is asked whether its word is in
the picture (yes) and whether the other's is (no). A model that sees nothing, or always says yes, has half of the answers right;
both answers of a picture are right by guessing for a quarter, and never for who always says yes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import Field

from mella_retrieval.recipes import Strict
from mella_retrieval.resampling import Doubles

QUESTION = 'Is the word in the picture "{word}"? Please answer yes or no.'
CHANCE = {"accuracy": 50.0, "accuracy_plus": 25.0}
"""Percent that guessing reaches: of answers, and of pictures with both answers right."""

_LIST = """
ARROW BRIDGE BAKERY BOTTLE BUTTER CANDLE CARPET CASTLE CELLAR CHAPEL CHERRY CIRCUS CINEMA COFFEE COTTON CORNER DENTIST DANGER
DOCTOR ENGINE FABRIC FARMER FERRY FLOWER FOREST FOUNTAIN GALLERY GARAGE GARDEN GROCERY HAMMER HARBOR HOSPITAL HOTEL ISLAND
JACKET JUNGLE KITCHEN LADDER LAUNDRY LEATHER LIBRARY LIZARD MARBLE MARKET MEADOW MIRROR MONKEY MOTOR MUSEUM NEEDLE ORANGE
OFFICE ORCHARD OYSTER PAINTER PALACE PARROT PEPPER PIGEON PILLOW PLANET POCKET POLICE PUBLIC QUARRY RABBIT RAILWAY RIBBON
ROCKET SADDLE SAILOR SALMON SCHOOL SHOWER SILVER SPRING SQUARE STABLE STATION STUDIO SUMMER TAILOR TEMPLE THEATER TICKET
TIMBER TOMATO TUNNEL TURTLE TURKEY VALLEY VELVET VILLAGE VIOLIN WAGON WALNUT WINDOW WINTER WORKSHOP YELLOW ZEBRA
"""
WORDS = tuple(_LIST.split())
"""What stands on the signs."""

_COLOURS = (("white", "black"), ("navy", "white"), ("gold", "black"), ("darkgreen", "white"), ("firebrick", "white"))


class Signs(Strict):
    """Attributes: pairs: of pictures. side: pixels. seed: of words, colours and places."""

    pairs: int = Field(default=50, ge=2, le=len(WORDS) // 2)
    side: int = Field(default=336, ge=64)
    seed: int = 0


@dataclass(frozen=True)
class Sign:
    """A picture with a word. Attributes: prompts: the questions, the same for both of a pair. right: whether to say yes."""

    image_id: str
    pair: int
    word: str
    image: Image.Image
    prompts: tuple[str, str]
    right: tuple[bool, bool]


@dataclass(frozen=True)
class Reading:
    """How a model read the signs. Attributes: scores: (pairs, 2) percent, accuracy and accuracy+. unclear: neither yes nor no."""

    scores: Doubles
    unclear: int
    answers: int


def draw_signs(settings: Signs) -> list[Sign]:
    """The pictures, two for each pair; the same settings draw the same."""
    generator = Random(f"signs {settings.seed}")
    words = generator.sample(WORDS, 2 * settings.pairs)
    signs = []
    for pair in range(settings.pairs):
        both = words[2 * pair], words[2 * pair + 1]
        prompts = QUESTION.format(word=both[0]), QUESTION.format(word=both[1])
        for number, word in enumerate(both):
            image = _draw(word, settings.side, generator)
            signs.append(Sign(f"sign-{pair:03d}-{number}", pair, word, image, prompts, (number == 0, number == 1)))
    return signs


def signs_digest(signs: Sequence[Sign]) -> str:
    """Hash of the pictures and questions; another release of Pillow may draw otherwise."""
    digest = hashlib.sha256()
    for sign in signs:
        digest.update("\n".join((sign.image_id, *sign.prompts)).encode() + sign.image.tobytes())
    return digest.hexdigest()


def _draw(word: str, side: int, generator: Random) -> Image.Image:
    board, letters = generator.choice(_COLOURS)
    image = Image.new("RGB", (side, side), (generator.randrange(120, 220),) * 3)
    pen = ImageDraw.Draw(image)
    size = int(side * generator.uniform(0.10, 0.14))
    font = ImageFont.load_default(size=size)
    left, top, right, bottom = pen.textbbox((0, 0), word, font=font)
    width, height = right - left, bottom - top
    x, y = generator.uniform(0.05, 0.95) * (side - width), generator.uniform(0.1, 0.9) * (side - height)
    edge = size * 0.4
    pen.rectangle(
        (x - edge, y - edge, x + width + edge, y + height + edge), fill=board, outline=letters, width=max(1, side // 100)
    )
    pen.text((x - left, y - top), word, font=font, fill=letters)
    return image


def says(answer: str) -> bool | None:
    """Whether an answer begins with yes or with no; None for neither."""
    found = re.match(r"\W*(yes|no)\b", answer.casefold())
    return None if found is None else found[1] == "yes"


def read_signs(signs: Sequence[Sign], answers: Mapping[tuple[str, str], str]) -> Reading:
    """Score the answers, (image_id, question) -> answer; what is missing is wrong."""
    pairs = max(sign.pair for sign in signs) + 1
    scores = np.zeros((pairs, 2))
    unclear = 0
    for sign in signs:
        found = [says(answers.get((sign.image_id, prompt), "")) for prompt in sign.prompts]
        unclear += found.count(None)
        right = [said == wanted for said, wanted in zip(found, sign.right, strict=True)]
        scores[sign.pair] += [100 * sum(right) / 4, 100 * all(right) / 2]
    return Reading(scores, unclear, 2 * len(signs))
