"""The recipe of `ling`."""

from __future__ import annotations

from typing import Any

import pytest

from mella_retrieval.data.ling.checks import CHECKS
from mella_retrieval.data.ling.recipe import Checks, LingRecipe
from mella_retrieval.errors import ConfigError
from mella_retrieval.languages import MELLA
from mella_retrieval.recipes import build_config, load_recipe


def test_the_shipped_recipe_shows_every_parameter_with_its_default():
    shipped = load_recipe(LingRecipe, "data", "ling")
    assert shipped.translate.languages == MELLA
    assert shipped.checks == Checks()
    assert shipped.model_dump(exclude={"translate", "describe"}) == LingRecipe().model_dump(exclude={"translate", "describe"})
    assert set(CHECKS) == set(Checks.model_fields)
    from mella_retrieval.recipes import find_recipe, read_yaml

    written = read_yaml(find_recipe("data", "ling"))
    for name in CHECKS:
        assert set(written["checks"][name]) == set(CHECKS[name].model_fields), name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"describe": {"promts": {}}}, "promts"),
        ({"checks": {"lenght": {}}}, "lenght"),
        ({"checks": {"length": {"low": 3}}}, "low"),
        ({"translate": {"languages": ["xx"]}}, "'xx' is not a known language code"),
        ({"translate": {"languages": ["hu", "hun_Latn"]}}, "hu stands twice"),
        ({"translate": {"languages": ["en"]}}, "nothing to translate into"),
        ({"describe": {"lang": "hu"}}, "no prompt in Hungarian"),
        ({"describe": {"prompts": {"en": ["Describe {picture}."]}}}, "{picture}"),
        ({"describe": {"prompts": {"en": ["Describe {language.code}."]}}}, "{language.code}"),
        ({"describe": {"prompts": {"en": ["Describe {language!r}."]}}}, "means nothing here"),
        ({"describe": {"prompts": {"en": ["Describe {"]}}}, "no template"),
        ({"describe": {"prompts": {"en": ["  "]}}}, "is empty"),
        ({"describe": {"prompts": {"zz": ["x"]}}}, "'zz' is not a known language code"),
        ({"describe": {"prompts": {"en": []}}}, "no prompt in English"),
        ({"describe": {"views": 0}}, "views"),
        ({"shard": 0}, "shard"),
        ({"checks": {"refusal": {"phrases": {"zz": ["x"]}}}}, "zz"),
        ({"checks": {"refusal": {"phrases": {"hu": ["sajnos", " "]}}}}, "a phrase is empty"),
        ({"columns": ["split", "text"]}, "text is a column that every record has"),
        ({"columns": ["split", "site", "split"]}, "the column split stands twice"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as raised:
        build_config(LingRecipe, values, "the recipe")
    assert message in str(raised.value)


def test_prompts_take_turns_and_name_the_language():
    prompts = {"hun_Latn": ["Mi ez? ({language})", "Mit látsz? {{x}}"]}
    ask = build_config(LingRecipe, {"describe": {"lang": "hun", "prompts": prompts, "views": 3}}, "x").describe.ask()
    assert ask.lang.code == "hu"
    assert ask.prompts == ("Mi ez? (Hungarian)", "Mit látsz? {x}", "Mi ez? (Hungarian)")


def test_null_leaves_a_check_out():
    recipe = load_recipe(LingRecipe, "data", "ling", ["checks.repetition=null", "checks.agreement.margin=0.5"])
    chosen = {check.name: check for check in recipe.checks.chosen()}
    assert list(chosen) == [name for name in CHECKS if name != "repetition"]
    assert chosen["agreement"].margin == 0.5
