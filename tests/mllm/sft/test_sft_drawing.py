from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.errors import ConfigError
from mella_retrieval.mllm.sft.drawing import HeldOut, draw
from mella_retrieval.mllm.sft.processes import Processes
from mella_retrieval.mllm.sft.recipe import SftRecipe
from mella_retrieval.recipes import load_recipe


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["know", "ling"]), min_size=1, max_size=40),
    st.integers(1, 7),
    st.sampled_from([0.5, 1, 2.25]),
    st.integers(1, 3),
    st.integers(0, 5),
)
def test_draw__every_pass_draws_each_source_by_its_weight(
    sources: list[str], batch: int, weight: float, epochs: int, seed: int
) -> None:
    drawn = draw(sources, {"know": weight}, batch=batch, epochs=epochs, steps=None, seed=seed)
    counts = {name: sources.count(name) for name in ("know", "ling")}
    once = counts["ling"] + int(np.ceil(weight * counts["know"] - 1e-9)) if weight != 2.25 else None
    assert len(drawn) % batch == 0
    if once is not None:
        assert len(drawn) == -(-once * epochs // batch) * batch
        first = Counter(sources[row] for row in drawn[:once])
        assert first["ling"] == min(counts["ling"], len(drawn))
    assert set(drawn.tolist()) <= set(range(len(sources)))
    assert drawn.tolist() == draw(sources, {"know": weight}, batch=batch, epochs=epochs, steps=None, seed=seed).tolist()


def test_draw__the_order_does_not_depend_on_how_many_steps_are_taken() -> None:
    sources = ["know"] * 10 + ["ling"] * 5
    long = draw(sources, {"ling": 1.5}, batch=4, epochs=1, steps=20, seed=3)
    assert len(long) == 80
    assert long[:12].tolist() == draw(sources, {"ling": 1.5}, batch=4, epochs=1, steps=3, seed=3).tolist()
    first, second = long[:18], long[18:36]
    for part in (first, second):
        assert sorted(row for row in part if row < 10) == list(range(10))
        assert Counter(Counter(row for row in part if row >= 10).values()) == {1: 2, 2: 3}
    assert first.tolist() != second.tolist()
    assert long.tolist() != draw(sources, {"ling": 1.5}, batch=4, epochs=1, steps=20, seed=4).tolist()


def test_draw__a_weight_of_zero_draws_nothing() -> None:
    assert set(draw(["a", "b", "a"], {"a": 0}, batch=2, epochs=1, steps=None, seed=0).tolist()) == {1}
    assert not len(draw(["a"], {"a": 0}, batch=2, epochs=1, steps=None, seed=0))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.floats(0.01, 0.9), st.integers(0, 4))
def test_held_out__is_the_share_but_neither_none_nor_all(count: int, share: float, seed: int) -> None:
    names = [f"i{number}" for number in range(count)]
    held_out = HeldOut([*names, *names], share, seed)
    chosen = sum(name in held_out for name in names)
    assert chosen == max(0, min(int(np.ceil(share * count)), count - 1))
    assert not any(name in HeldOut(names, 0, seed) for name in names)


def test_held_out__are_others_with_another_seed() -> None:
    names = [f"i{number}" for number in range(60)]
    assert len({tuple(name in HeldOut(names, 0.5, seed) for name in names) for seed in range(4)}) == 4


def test_processes__take_equal_shares_in_parts_that_divide_them() -> None:
    assert Processes(1, 0).at_a_time(16, 4) == 4
    assert Processes(2, 1).at_a_time(12, 4) == 3
    assert Processes(2, 1).at_a_time(12, 100) == 6
    assert Processes(4, 0).at_a_time(4, 4) == 1
    with pytest.raises(ConfigError, match="choose a multiple"):
        Processes(3, 0).share(16)


@pytest.mark.parametrize("name", ["internvl2-8b", "qwen2-vl-7b", "small"])
def test_recipes__of_the_package_are_valid(name: str) -> None:
    recipe = load_recipe(SftRecipe, "mllm", name)
    assert recipe.lora.rank == 16
    assert set(recipe.frozen) == {"vision", "connector"}
    if name != "small":
        assert (recipe.learning_rate, recipe.schedule, recipe.warmup, recipe.weight_decay) == (4e-5, "cosine", 0.03, 0.01)
        assert (recipe.batch, recipe.epochs, recipe.max_length) == (16, 1, 4096)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("leraning_rate=1", "Did you mean 'learning_rate'"),
        ("sources.web=news", "with the prompts of know or ling"),
        ("weights.know=-1", "must be a number from 0 to 1000"),
        ("seed=4294967296", "seed"),
        ("method=dora", "'lora', 'qlora' or 'full'"),
        ("picture.min_pixels=9999999", "min_pixels"),
    ],
)
def test_recipes__wrong_settings_are_named(override: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_recipe(SftRecipe, "mllm", "small", [override])
