"""Strict recipes: a wrong key or value is named with its nearest valid neighbour; nothing is read as what it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator

from mella_retrieval import recipes
from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import Strict, apply_overrides, build_config, find_recipe, load_recipe, parse_yaml


class Head(Strict):
    hidden: int = 256
    dropout: float = 0.0


class Recipe(Strict):
    method: str
    temperature: float = 0.05
    languages: tuple[str, ...] = ()
    head: Head = Head()

    @field_validator("temperature")
    @classmethod
    def _positive(cls, value: float) -> float:
        if value <= 0:
            raise ValueError("must be above 0")
        return value


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind in recipes.KINDS:
        (tmp_path / kind).mkdir()
    (tmp_path / "adapters" / "ridge.yaml").write_text("method: ridge\ntemperature: 1e-3\n")
    (tmp_path / "adapters" / "procrustes.yaml").write_text("method: procrustes\n")
    monkeypatch.setattr(recipes, "recipe_root", lambda: tmp_path)
    return tmp_path


def value(text: str) -> Any:
    return parse_yaml(f"key: {text}", "here")["key"]


@pytest.mark.parametrize("text", ["no", "No", "NO", "yes", "on", "off", "y", "n", "2024-01-01", "1:30", "010", "sr-Latn"])
def test_words_stay_words(text: str):
    assert value(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        ("3.", 3.0),
        (".5", 0.5),
        ("0.05", 0.05),
        ("7", 7),
        ("-7", -7),
        ("1_000", 1000),
        ("0", 0),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("[no, en]", ["no", "en"]),
        ("'1e-3'", "1e-3"),
    ],
)
def test_values(text: str, expected: object):
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_norwegian_as_a_key():
    assert parse_yaml("no: 1\nyes: 2", "here") == {"no": 1, "yes": 2}


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "x: {b: 0}\nb: 2\nb: 3"])
def test_a_repeated_key_is_refused_with_its_line(text: str):
    with pytest.raises(ConfigError, match=r"ridge\.yaml, line 3: the key '[ab]' stands twice"):
        parse_yaml(text, "ridge.yaml")


def test_a_key_repeated_deeper_down_is_refused():
    with pytest.raises(ConfigError, match="line 3: the key 'hidden' stands twice"):
        parse_yaml("head:\n  hidden: 1\n  hidden: 2\n", "here")


@pytest.mark.parametrize("text", ["a: [1, 2", "a: b: c", "\tx: 1", "a: !!python/object:os.system {}", "? [a]\n: 1"])
def test_what_is_no_plain_yaml_is_refused(text: str):
    with pytest.raises(ConfigError, match="here"):
        parse_yaml(text, "here")


@pytest.mark.parametrize("text", ["- a\n- b", "word", "3"])
def test_what_is_no_mapping_is_refused(text: str):
    with pytest.raises(ConfigError, match="must hold `key: value` lines"):
        parse_yaml(text, "here")


def test_an_empty_recipe_has_no_keys():
    assert parse_yaml("# nothing yet\n", "here") == {}


def test_unknown_keys_are_named_with_the_nearest_valid_one():
    with pytest.raises(ConfigError) as caught:
        build_config(Recipe, {"method": "ridge", "temprature": 1, "head": {"hiden": 3}}, "ridge.yaml")
    message = str(caught.value)
    assert message.startswith("ridge.yaml: ")
    assert "unknown key 'temprature'. Did you mean 'temperature'?" in message
    assert "unknown key 'head.hiden'. Did you mean 'hidden'?" in message
    assert "Valid keys: method, temperature, languages, head." in message


def test_valid_keys_are_said_once():
    with pytest.raises(ConfigError) as caught:
        build_config(Recipe, {"method": "ridge", "one": 1, "two": 2, "head": {"three": 3}}, "here")
    message = str(caught.value)
    assert all(f"unknown key {name!r}" in message for name in ("one", "two", "head.three"))
    assert message.count("Valid keys: method, ") == message.count("Valid keys: hidden") == 1


def test_missing_and_wrong_values_are_named():
    with pytest.raises(ConfigError) as caught:
        build_config(Recipe, {"temperature": -1, "head": {"hidden": "many"}}, "here")
    message = str(caught.value)
    assert "the key 'method' is missing" in message
    assert "temperature: must be above 0" in message
    assert "head.hidden" in message and "(got 'many')" in message


def test_a_checked_configuration_cannot_change():
    config = build_config(Recipe, {"method": "ridge"}, "here")
    with pytest.raises(ValueError):
        config.method = "other"


def test_overrides():
    values = {"method": "ridge", "head": {"hidden": 1, "deep": {"er": 1}}}
    changed = apply_overrides(
        values, ["temperature=1e-3", "head.hidden=8", "head.deep.er=2", "languages=[no, en]", "new.key=a=b", "method="]
    )
    assert changed == {
        "method": None,
        "temperature": 0.001,
        "head": {"hidden": 8, "deep": {"er": 2}},
        "languages": ["no", "en"],
        "new": {"key": "a=b"},
    }
    assert values == {"method": "ridge", "head": {"hidden": 1, "deep": {"er": 1}}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("temperature", "not an override of the form key=value"),
        ("=3", "not an override of the form key=value"),
        ("method.inner=3", "'method' holds a plain value"),
        ("languages=[no, en", "'languages=.no, en' is not valid YAML"),
        ("head={hidden: 1, hidden: 2}", "the key 'hidden' stands twice"),
    ],
)
def test_wrong_overrides(override: str, message: str):
    with pytest.raises(ConfigError, match=message):
        apply_overrides({"method": "ridge"}, [override])


def test_recipes_by_name_by_path_and_with_overrides(root: Path, tmp_path: Path):
    assert load_recipe(Recipe, "adapters", "ridge").temperature == 0.001
    assert load_recipe(Recipe, "adapters", "ridge", ["head.hidden=3"]).head.hidden == 3
    mine = tmp_path / "mine.yaml"
    mine.write_text("method: mine\n")
    assert load_recipe(Recipe, "adapters", str(mine)).method == "mine"
    with pytest.raises(ConfigError, match=r"ridge\.yaml with metod=x: unknown key 'metod'. Did you mean 'method'\?"):
        load_recipe(Recipe, "adapters", "ridge", ["metod=x"])


def test_missing_recipes(root: Path):
    with pytest.raises(ConfigError, match=r"no recipe 'rigde' in adapters/\. Did you mean 'ridge'\? Known: procrustes, ridge"):
        find_recipe("adapters", "rigde")
    with pytest.raises(ConfigError, match=r"there is no recipe file .*gone\.yaml"):
        find_recipe("adapters", "gone.yaml")


def test_a_recipe_that_is_not_text(root: Path):
    (root / "adapters" / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match=r"binary\.yaml cannot be read"):
        load_recipe(Recipe, "adapters", "binary")


def test_the_recipes_that_ship_are_found_and_are_strict_yaml():
    found = recipes.list_recipes()
    assert set(found) == set(recipes.KINDS)
    for path in (path for paths in found.values() for path in paths):
        assert recipes.read_yaml(path), path
