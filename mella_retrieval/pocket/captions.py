"""Captions that ask for no grammatical agreement: labels, lists and colons around words in their dictionary form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from mella_retrieval.pocket.scenes import Scene, Thing
from mella_retrieval.pocket.vocabulary import Words, words

_COMMA = {"ar": "، "}
_SEMICOLON = {"ar": "؛ "}
_PLACES = {1: ("",), 2: ("left", "right"), 3: ("left", "middle", "right")}


def _noun(table: Words, thing: Thing) -> str:
    return table.nouns[thing.noun] + (f" × {thing.count}" if thing.count > 1 else "")


def _looks(table: Words, thing: Thing) -> list[str]:
    return [table.colours[thing.colour], *([table.sizes[thing.size]] if thing.size else [])]


Named = Callable[[Thing, str, str, str], str]
"""(thing, what stands before its looks, between them, after them) -> its text."""


def _describe(table: Words) -> Named:
    def text(thing: Thing, before: str, between: str, after: str) -> str:
        return _noun(table, thing) + before + between.join(_looks(table, thing)) + after

    return text


def _name(table: Words, rng: Random) -> Named:
    describe = _describe(table)

    def text(thing: Thing, before: str, between: str, after: str) -> str:
        if thing.name in table.native:
            return rng.choice(table.native[thing.name])
        return describe(thing, before, between, after)

    return text


def _write(form: int, table: Words, scene: Scene, named: Named, rng: Random) -> str:
    comma, semicolon = _COMMA.get(table.lang, ", "), _SEMICOLON.get(table.lang, "; ")
    place = table.backgrounds[scene.background]
    things: Sequence[Thing] = scene.things
    if form != 2:
        things = rng.sample(scene.things, len(scene.things))
    if form == 0:
        return semicolon.join(named(thing, ": ", comma, "") for thing in things) + f" – {place}"
    if form == 1:
        return f"{place}: " + comma.join(named(thing, " (", comma, ")") for thing in things)
    if form == 2:
        sides = [f"{table.labels[side]}: " if side else "" for side in _PLACES[len(things)]]
        parts = [side + named(thing, comma, comma, "") for side, thing in zip(sides, things, strict=True)]
        return semicolon.join([*parts, f"{table.labels['background']}: {place}"])
    if form == 3:
        return f"{table.labels['picture']}: {place}. " + ". ".join(named(thing, " – ", " – ", "") for thing in things)
    return " + ".join(named(thing, " (", comma, ")") for thing in things) + f"{semicolon}{table.labels['background']} – {place}"


FORMS = 5


def captions(lang: str, scene: Scene, number: int, rng: Random) -> list[tuple[str, str]]:
    """The texts of a scene in one language as (kind, text).

    First come `number` (at most `FORMS`) descriptions, kind "ling", each in another form. If the scene holds a cultural item of
    this language, an alt-text follows that calls it by its name, kind "know".
    """
    table = words(lang)
    texts = [("ling", _write(form, table, scene, _describe(table), rng)) for form in rng.sample(range(FORMS), number)]
    if scene.item in table.native:
        texts.append(("know", _write(rng.randrange(FORMS), table, scene, _name(table, rng), rng)))
    return texts
