"""What a recipe of composing refuses, and in which words."""

from __future__ import annotations

import pytest

from mella_retrieval.data.compose.recipe import ComposeRecipe
from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import load_recipe


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sources.a={path: x, weigth: 1}"], r"unknown key 'sources\.a\.weigth'\. Did you mean 'weight'\? Valid keys: path, "),
        (["disjoint_from=rec"], r"disjoint_from: a list is needed, disjoint_from=\[rec\]"),
        (["splits.test=1.0"], r"splits\.test: it is a share below 1 or a whole number of records, not 1\.0"),
        (["splits.test=0.6", "splits.validation=0.4"], "leave nothing for train"),
        (["size=0"], r"compose\.yaml with sources\.a=x, size=0: size: "),
    ],
)
def test_what_is_refused_is_named(overrides: list[str], message: str):
    given = overrides if overrides[0].startswith("sources") else ["sources.a=x", *overrides]
    with pytest.raises(ConfigError, match=message):
        load_recipe(ComposeRecipe, "data", "compose", given)


def test_splits_are_shares_or_numbers():
    recipe = load_recipe(ComposeRecipe, "data", "compose", ["sources.a=x", "splits.test=1", "splits.validation=0.25"])
    assert (recipe.splits.test, recipe.splits.validation) == (1, 0.25)
