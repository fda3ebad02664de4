"""The method contract: one file, one recipe, one registry line; options are strict; work is refused before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import IMAGE_TOWER, names, planted, write_set

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.heads import Head, centred_map
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.method import Fitted, MethodConfig
from mella_retrieval.adapters.methods import METHODS
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.errors import ArtifactError, ConfigError, LockedError, TrainingError
from mella_retrieval.recipes import list_recipes

INPUTS = {"english_text", "clip_text", "image_vectors", "text_bank", "pairs", "translations", "descriptions", "tokens"}


@pytest.mark.parametrize("name", sorted({*METHODS} - {"average"}))
def test_every_method_has_a_recipe_of_its_name_that_mentions_all_its_options(name: str):
    method, config = load_method(name)
    assert method is METHODS[name]
    assert method.name == name
    assert isinstance(config, method.config)
    recipe = next(path for path in list_recipes()["adapters"] if path.stem == name).read_text(encoding="utf-8")
    for option in method.config.__annotations__:
        assert f"{option}:" in recipe, f"the recipe does not mention {option}"
    for option, value in method.config().model_dump().items():  # the library's defaults are the recipe's
        assert getattr(config, option) == (pytest.approx(value, abs=1e-4) if isinstance(value, float) else value)


def test_best_is_an_average():
    assert load_method("best")[0] is METHODS["average"]


@pytest.mark.parametrize("path", list_recipes()["adapters"], ids=lambda path: path.stem)
def test_every_recipe_loads_by_name_and_by_path(path: Path):
    assert load_method(path.stem)[1] == load_method(str(path))[1]
    assert path.read_text(encoding="utf-8").startswith("# "), "the first line says what it is"


@pytest.mark.parametrize("name", METHODS)
def test_needs_are_inputs_that_exist(name: str):
    assert METHODS[name].needs
    for alternative in METHODS[name].needs:
        assert alternative <= INPUTS


def test_every_option_is_documented():
    for method in METHODS.values():
        for kind in method.config.__mro__:
            for option in getattr(kind, "__annotations__", {}):
                if issubclass(kind, MethodConfig) and not option.startswith("model_"):
                    assert any(f"{option}:" in (part.__doc__ or "") for part in kind.__mro__), f"{kind.__name__}.{option}"


@pytest.mark.parametrize(
    ("recipe", "overrides", "message"),
    [
        ("ridge", ["penaltys=[1]"], "unknown key 'penaltys'. Did you mean 'penalties'?"),
        ("uclip", ["lerning_rate=1"], "Did you mean 'learning_rate'?"),
        ("rigde", [], "Did you mean 'ridge'?"),
        ("ridge", ["method=procustes"], "Did you mean 'procrustes'?"),
        ("ridge", ["gallery=centered"], "gallery"),
        ("nowhere/ridge.yaml", [], "there is no recipe file nowhere/ridge.yaml"),
    ],
)
def test_what_is_misspelt_is_refused_with_the_nearest_name(recipe: str, overrides: list[str], message: str):
    with pytest.raises(ConfigError) as error:
        load_method(recipe, overrides)
    assert message in str(error.value)


class MeanConfig(MethodConfig):
    """Options.

    Attributes:
        factor: scales the map.
    """

    factor: float = 1.0


class Mean:
    """A method of somebody else."""

    name = "mean"
    needs = (frozenset({"pairs", "image_vectors"}),)
    config = MeanConfig

    def fit(self, inputs: Inputs, config: MeanConfig, run: Run) -> Fitted:
        """A map of the right shape."""
        mean = np.zeros(inputs.text_tower.dim)
        return Fitted(centred_map(mean, config.factor * np.eye(inputs.text_tower.dim, inputs.image_tower.dim)), Head(), {})


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    world = planted(40)
    return Sources(
        image_vectors=write_set(tmp_path / "images", world.image(), names(40), IMAGE_TOWER, "image"),
        pairs=write_set(tmp_path / "texts", world.text(), names(40, "t"), image_id=names(40)),
    )


def test_a_new_method_is_one_file_one_recipe_and_one_line(tmp_path: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(METHODS, "mean", Mean())
    recipe = tmp_path / "mean.yaml"
    recipe.write_text("# Somebody else's.\nmethod: mean\nfactor: 2\n")
    adapter = train(*load_method(str(recipe), ["factor=3"]), sources, tmp_path / "a")
    assert adapter.config.options["factor"] == 3
    again = Adapter.load(tmp_path / "a")
    assert again.fingerprint == adapter.fingerprint
    assert again.map_text(planted(40).text()).shape == (40, 16)


def test_needs_that_are_not_met_are_said(sources: Sources, tmp_path: Path):
    with pytest.raises(TrainingError, match=r"ridge needs .* or .*; at hand: pairs\."):
        train(*load_method("ridge"), Sources(pairs=sources.pairs, validation=sources.pairs), tmp_path / "a")
    with pytest.raises(TrainingError, match="at hand: nothing"):
        train(*load_method("ridge"), Sources(), tmp_path / "a")


def test_an_adapter_that_is_there_is_refused_before_anything_is_fitted(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = train(*load_method("ridge"), sources, tmp_path / "a")

    class Refuse(Mean):
        def fit(self, *_: Any, **__: Any) -> Fitted:
            raise AssertionError("fitted in vain")

    with pytest.raises(ArtifactError, match=r"already exists.*--overwrite"):
        train(Refuse(), MeanConfig(), sources, tmp_path / "a")
    replaced = train(*load_method("procrustes"), sources, tmp_path / "a", overwrite=True)
    assert Adapter.load(tmp_path / "a").fingerprint == replaced.fingerprint != first.fingerprint


def test_a_second_writer_of_the_same_adapter_is_refused(sources: Sources, tmp_path: Path):
    class Second(Mean):
        def fit(self, inputs: Inputs, config: MeanConfig, run: Run) -> Fitted:
            with pytest.raises(LockedError):
                train(*load_method("ridge"), sources, tmp_path / "a")
            return super().fit(inputs, config, run)

    train(Second(), MeanConfig(), sources, tmp_path / "a")
