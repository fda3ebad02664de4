from __future__ import annotations

import pytest

from mella_retrieval import languages
from mella_retrieval.benchmarks.tasks import Task, list_tasks, load_task
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.recipes import build_config

SMALL = {
    "name": "small", "title": "Small", "source": "https://example.org", "licence": "CC0", "protocols": ["all-hit"],
    "languages": ["cs", "hu"], "images": 3, "captions": {"cs": 6, "hu": 5},
}  # fmt: skip


def task(**changes):
    return build_config(Task, {**SMALL, **changes}, "small.yaml")


def test_check__right_counts():
    task().check(3, {"cs": 6, "hu": 5})
    task(images="unverified", captions="unverified").check(17, {"cs": 1, "hu": 2})


def test_check__a_test_set_that_shrank_gives_both_numbers():
    with pytest.raises(DataError, match=r"2 images instead of 3; 4 captions in hu instead of 5"):
        task().check(2, {"cs": 6, "hu": 4})


def test_check__a_test_set_that_grew_is_another_one():
    with pytest.raises(DataError, match="7 captions in cs instead of 6"):
        task().check(3, {"cs": 7, "hu": 5})


def test_check__only_the_languages_that_are_measured():
    task().check(3, {"cs": 6}, languages=["cs"])
    with pytest.raises(DataError, match="0 captions in hu instead of 5"):
        task().check(3, {"cs": 6})
    with pytest.raises(DataError, match="no captions in hu"):
        task(captions="unverified").check(3, {"cs": 6})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocols": ["frist"]}, "Did you mean 'first'"),
        ({"languages": ["cs", "xx-nowhere"]}, "xx-nowhere"),
        ({"languages": ["cs", "ces"]}, "twice"),
        ({"captions": {"cs": 6, "de": 5}}, "de"),
        ({"groups": {"best": ["th"]}}, "groups.best names th"),
        ({"groups": {"mean": ["cs"]}}, "cannot be called mean"),
        ({"groups": {"none": []}}, "'none' is empty"),
        ({"groups": {"best": ["hu", "hun", "cs"]}}, "twice"),
        ({"protocols": ["first", "first"]}, "a protocol stands twice"),
        ({"images": 0}, "images"),
        ({"images": True}, "images"),
        ({"captions": {"cs": -1}}, "captions"),
        ({"image": 3}, "Did you mean 'images'"),
    ],
)
def test_task__what_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        task(**changes)


def test_task__codes_in_any_form_everywhere():
    found = task(languages=["ces", "hun_Latn"], groups={"both": ["ces", "hu"]}, captions={"ces": 6, "hun": 5})
    assert (found.languages, found.groups, found.captions) == (("cs", "hu"), {"both": ("cs", "hu")}, {"cs": 6, "hu": 5})


def test_list_tasks__every_recipe_loads_under_its_own_name():
    tasks = {found.name: found for found in list_tasks()}
    assert {"xm3600", "pocket"} <= set(tasks)
    for name, found in tasks.items():
        assert load_task(name) == found
        assert found.protocols[0] == ("all-hit" if found.kind == "retrieval" else "zero-shot")


def test_xm3600__counts_add_up_to_what_the_paper_says():
    xm3600 = load_task("xm3600")
    assert xm3600.images == 3600
    assert sum(xm3600.captions.values()) == 261_375
    assert xm3600.languages == languages.XM3600
    assert set(xm3600.groups["uclip"]) == set(languages.UCLIP)


def test_pocket__thirteen_languages():
    assert set(load_task("pocket").languages) == {"en", *languages.MELLA, "fi", "hr", "ro", "sw"}
