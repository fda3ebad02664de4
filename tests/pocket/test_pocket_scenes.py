from __future__ import annotations

from collections import Counter

import pytest

from mella_retrieval.errors import ConfigError
from mella_retrieval.pocket.scenes import draw_scenes, split_of, split_sizes
from mella_retrieval.pocket.vocabulary import COLOURS, CULTURE, KINDS

WORLD = list(draw_scenes(0, split_sizes(3600)))


def combinations(split: str) -> list[set[str]]:
    """For each scene of a split, the splits of its combinations of kind and colour."""
    return [
        {split_of(thing.name, thing.colour) for thing in scene.things if thing.name not in CULTURE}
        for own, scene in WORLD
        if own == split
    ]


def test_the_shipped_size_has_a_gallery_of_at_least_500_test_pictures() -> None:
    assert Counter(split for split, _ in WORLD) == {"train": 2600, "validation": 300, "test": 700}


def test_every_kind_holds_out_one_colour_for_each_evaluation_split() -> None:
    for kind in KINDS:
        splits = Counter(split_of(kind, colour) for colour in COLOURS)
        assert splits == {"train": 8, "validation": 1, "test": 1}


def test_training_scenes_show_no_held_out_combination() -> None:
    assert all(splits <= {"train"} for splits in combinations("train"))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_evaluation_scene_shows_a_combination_of_its_own_split(split: str) -> None:
    assert all(split in splits and splits <= {"train", split} for splits in combinations(split))


def test_training_shows_every_kind_colour_and_cultural_item() -> None:
    things = [thing for split, scene in WORLD if split == "train" for thing in scene.things]
    assert {thing.name for thing in things} == {*KINDS, *CULTURE}
    assert {thing.colour for thing in things} == {*COLOURS, "multicoloured"}


def test_no_two_scenes_of_the_world_have_the_same_description() -> None:
    assert max(Counter(scene.description for _, scene in WORLD).values()) == 1


def test_too_few_scenes_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 12"):
        split_sizes(3)
