"""Scenes: what stands in a picture, drawn by lot, with combinations that only the validation and the test split show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from mella_retrieval.errors import ConfigError
from mella_retrieval.pocket.vocabulary import BACKGROUNDS, COLOURS, CULTURE, KINDS, SIZES

SPLITS = ("train", "validation", "test")
SHARES = {"validation": 300 / 3600, "test": 700 / 3600}
MIN_SCENES = 12

_TRIES = 1000


@dataclass(frozen=True)
class Thing:
    """A thing in a scene. `name` is one of KINDS or of CULTURE; `size` is "small", "large" or "" (neither)."""

    name: str
    colour: str
    size: str = ""
    count: int = 1

    @property
    def noun(self) -> str:
        """What a description calls it: its kind, or the category of a culturally named item."""
        return CULTURE[self.name].category if self.name in CULTURE else self.name


@dataclass(frozen=True)
class Scene:
    """One to three things, from left to right, before a background."""

    background: str
    things: tuple[Thing, ...]

    @property
    def description(self) -> tuple[object, ...]:
        """What every description says, whatever its form: equal for two scenes only if their descriptions are equal."""
        return self.background, *sorted((t.noun, t.colour, t.size, t.count) for t in self.things)

    @property
    def item(self) -> str:
        """The culturally named item in the scene, or ""."""
        return next((thing.name for thing in self.things if thing.name in CULTURE), "")


def split_of(kind: str, colour: str) -> str:
    """The split to which a combination of kind and colour belongs.

    Every kind has one colour that only test scenes show and one that only validation scenes show; the other eight are free.
    """
    rest = (KINDS.index(kind) + 3 * COLOURS.index(colour)) % len(COLOURS)
    return {0: "test", 1: "validation"}.get(rest, "train")


def _common(rng: Random, split: str, taken: set[str], *, small_group: bool) -> Thing:
    while True:
        kind, colour = rng.choice(KINDS), rng.choice(COLOURS)
        if kind not in taken and split_of(kind, colour) == split:
            break
    size = rng.choice((*SIZES, "", "", ""))
    count = rng.choice((2, 3)) if small_group and not size and rng.random() < 0.3 else 1
    return Thing(kind, colour, size, count)


def draw_scene(rng: Random, split: str) -> Scene:
    """Draw one scene of a split: outside the training split it holds at least one combination of that split alone."""
    number = rng.choices((1, 2, 3), (3, 11, 6))[0]
    things: list[Thing] = []
    if split != "train":
        things.append(_common(rng, split, set(), small_group=number < 3))
    if len(things) < number and rng.random() < 0.45:
        name = rng.choice(tuple(CULTURE))
        things.append(Thing(name, CULTURE[name].colour, rng.choice((*SIZES, "", "", ""))))
    while len(things) < number:
        things.append(_common(rng, "train", {thing.name for thing in things}, small_group=number < 3))
    rng.shuffle(things)
    return Scene(rng.choice(BACKGROUNDS), tuple(things))


def split_sizes(scenes: int) -> dict[str, int]:
    """How many of `scenes` scenes each split gets."""
    if scenes < MIN_SCENES:
        raise ConfigError(f"a pocket world needs at least {MIN_SCENES} scenes, not {scenes}.")
    held_out = {split: round(scenes * share) for split, share in SHARES.items()}
    return {"train": scenes - sum(held_out.values()), **held_out}


def draw_scenes(seed: int | str, sizes: dict[str, int]) -> Iterator[tuple[str, Scene]]:
    """Draw `(split, scene)` in the order of `sizes`; no two scenes have the same description."""
    seen: set[tuple[object, ...]] = set()
    for split, size in sizes.items():
        rng = Random(f"scenes/{seed}/{split}")
        for _ in range(size):
            for _ in range(_TRIES):
                scene = draw_scene(rng, split)
                if scene.description not in seen:
                    break
            else:
                raise ConfigError(f"the pocket world has no more distinct scenes for its {split} split; ask for fewer.")
            seen.add(scene.description)
            yield split, scene
