"""The recipe of `know`: which filters, in which order, with which parameters, and how the web is asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field, field_validator

from mella_retrieval.data.collect.filters import FILTERS
from mella_retrieval.data.collect.filters.step import Filter
from mella_retrieval.data.web.options import FetchOptions
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.languages import normalise
from mella_retrieval.recipes import Strict, build_config, load_recipe, suggest

RECIPE = "know"
NEEDED = "image-broken"


class KnowRecipe(Strict):
    """How native pairs are collected.

    Attributes:
        languages: of the texts, any known codes; none stands for all that can be told.
        source: of the records.
        base: of a folder of HTML files, the address that stands for it.
        pictures: "source" takes the pictures that the source has; "web" also fetches those that it lacks.
        filters: name -> parameters, in the order of work; None leaves one out.
        samples: candidates kept for `mella data look`, of each filter and of the kept ones.
        seed: of the samples.
        fetch: how the web is asked.
    """

    languages: tuple[str, ...] = ()
    source: str = Field(default="know", min_length=1)
    base: str = ""
    pictures: Literal["source", "web"] = "source"
    filters: dict[str, dict[str, Any] | None]
    samples: int = Field(default=60, ge=0, le=1000)
    seed: int = 0
    fetch: FetchOptions = FetchOptions()

    @field_validator("languages")
    @classmethod
    def _canonical(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(dict.fromkeys(map(normalise, codes)))
        except DataError as error:
            raise ValueError(str(error)) from None


Steps = list[tuple[str, Filter[Any]]]


def load_know(name: str = RECIPE, overrides: Iterable[str] = ()) -> KnowRecipe:
    """A recipe by name or path, with `key=value` overrides; its filters are checked.

    Raises:
        ConfigError: no such recipe, an unknown key or filter, a wrong value, filters in an order that cannot work.
    """
    recipe = load_recipe(KnowRecipe, "data", name, overrides)
    _check(recipe)
    return recipe


def make_steps(recipe: KnowRecipe) -> Steps:
    """The filters of a recipe, ready to work.

    Raises:
        ConfigError: as for `load_know`, and a word list that cannot be read, a language that the filter cannot tell.
        MissingDependencyError: the extra `data` is not installed.
    """
    return [(name, FILTERS[name](options, recipe.languages)) for name, options in _check(recipe)]


def _check(recipe: KnowRecipe) -> list[tuple[str, Strict]]:
    """The parameters of the filters that are not left out."""
    found: list[tuple[str, Strict]] = []
    for name, values in recipe.filters.items():
        if name not in FILTERS:
            raise ConfigError(f"there is no filter {name!r}.{suggest(name, FILTERS)} Known: {', '.join(FILTERS)}.")
        if values is None:
            continue
        if found and FILTERS[name].stage < FILTERS[found[-1][0]].stage:
            raise ConfigError(
                f"the filter {name} stands after {found[-1][0]}: filters of the page come first, then those of the picture, last "
                "those that look at what was kept before."
            )
        found.append((name, build_config(FILTERS[name].options_type, values, f"the filter {name}")))
    if NEEDED not in dict(found):
        raise ConfigError(f"the filter {NEEDED} cannot be left out: a record needs a picture that can be read.")
    return found
