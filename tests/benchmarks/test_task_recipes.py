"""The recipes of tasks: each can be read, obtained and listed as it says, and its facts agree with one another."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mella_retrieval import languages
from mella_retrieval.benchmarks.obtain import cache_folder, missing
from mella_retrieval.benchmarks.published import read_published
from mella_retrieval.benchmarks.tasks import Task, load_task
from mella_retrieval.data.formats import READERS, find_format
from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import build_config, list_recipes

RECIPES = {path.stem: path for path in list_recipes()["benchmarks"]}
LEVELS = {"low": (0, 1, 2), "middle": (3,), "high": (4, 5)}
ISSUE = {
    "xm3600", "xtd10", "multi30k", "multi30k-task2", "mscoco", "mscoco-cn", "mscoco-ja", "mscoco-uclip", "flickr30k",
    "flickr30k-200", "xtd200", "xflickrco", "wit", "vatex", "msrvtt-cn",
}  # fmt: skip

every = pytest.mark.parametrize("name", RECIPES)


@pytest.fixture
def task(name: str) -> Task:
    return load_task(name)


def test_every_test_set_of_the_plan_has_a_recipe():
    assert set(RECIPES) >= ISSUE


@every
def test_the_first_line_says_what_it_is(name: str):
    first = RECIPES[name].read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert 20 < len(first) <= 140


@every
def test_it_is_called_like_its_file_and_says_where_it_comes_from(task: Task, name: str):
    assert task.name == name
    assert task.title and task.source and task.licence
    if task.kind == "retrieval":
        assert task.protocols[0] == "all-hit"
        assert name == "pocket" or task.protocols == ("all-hit", "first", "all", "all-dedup")


@every
def test_its_reader_takes_its_options(task: Task):
    assert task.format == "auto" or task.format in READERS
    if task.format != "auto":
        known = find_format(task.format)
        assert known.test_set  # a test set must not shrink
        build_config(known.options, task.options, task.name)
        with pytest.raises(ConfigError):
            build_config(known.options, {**task.options, "no_such_option": 1}, task.name)
    else:
        assert not task.options


@every
def test_what_it_needs_can_be_obtained_or_is_said(task: Task, tmp_path: Path):
    assert task.name == "pocket" or task.files or task.by_hand
    paths = [source.path for source in task.files]
    assert len(set(paths)) == len(paths)
    for source in task.files:
        assert source.what
        if source.url is not None:
            address = urlsplit(source.url)
            assert address.hostname and not address.query
            assert address.scheme == "https" or (address.scheme == "http" and source.sha256 != "unverified")
        else:
            assert source.hub and source.hub.count("/") == 1
        assert source.unpack == source.path.endswith((".zip", ".tgz", ".tar.gz"))
        assert source.sha256 == "unverified" or (len(source.sha256) == 64 and int(source.sha256, 16))
    assert all(sentence.endswith(".") for sentence in (*task.by_hand, *task.notes))
    assert missing(task, tmp_path) == list(task.files)
    assert cache_folder(task).name == task.name


@every
def test_its_groups_are_those_of_the_table(task: Task):
    for name, group in task.groups.items():
        assert list(dict.fromkeys(group)) == list(group)
        if name in LEVELS:
            level = [code for code in task.languages if languages.get(code).resource_class in LEVELS[name]]
            assert list(group) == level
    for name, members in (("mella", languages.MELLA), ("uclip", languages.UCLIP)):
        both = set(members) & set(task.languages)
        assert set(task.groups.get(name, ())) == (both if len(both) > 1 else set())
    found = {name for name, classes in LEVELS.items()
             if any(languages.get(code).resource_class in classes for code in task.languages)}  # fmt: skip
    if task.name in ISSUE and len(found) > 1:
        assert found == set(task.groups) & set(LEVELS)


@every
def test_its_counts_agree_with_its_captions_per_picture(task: Task):
    if isinstance(task.captions, dict) and isinstance(task.images, int):
        assert set(task.captions) == set(task.languages)
        assert all(count >= task.images for count in task.captions.values())


@every
def test_its_published_rows_name_a_source_and_languages_of_the_task(task: Task):
    rows = read_published(task, task.protocols[0])
    assert (task.published is not None) == bool(rows)
    for row in rows[:5000]:
        assert row.source
        codes = row.language.removeprefix("mean(").removesuffix(")").split(",")
        assert set(codes) <= set(task.languages)


@pytest.mark.parametrize(
    ("name", "model", "language", "direction", "metric", "value"),
    [
        ("mscoco-uclip", "uCLIP (mpnet + ViT-B-32 datacomp_xl)", "mean(cs,fi,hr,hu,ro)", "t2i", "R@10", 0.533),
        ("mscoco-uclip", "uCLIP (mpnet + ViT-B-32 datacomp_xl)", "mean(cs,fi,hr,hu,ro)", "i2t", "R@10", 0.532),
        ("xtd10", "M2M (1 linear layer)", "mean(de,en,es,fr,it,ja,ko,pl,ru,tr,zh)", "t2i", "R@10", 0.892),
        ("multi30k", "NRCCR (CLIP)", "de", "both", "sumR", 4.507),
        ("mscoco", "CLIP + QB-Norm", "en", "t2i", "R@1", 0.348),
    ],
)
def test_published__numbers_of_the_reference(name: str, model: str, language: str, direction: str, metric: str, value: float):
    found = [row.value for row in read_published(load_task(name), "first")
             if (row.model, row.language, row.direction, row.metric) == (model, language, direction, metric)]  # fmt: skip
    assert found == [value]


def test_xtd10__its_leak_stands_in_every_result():
    assert any("800 of the 1,000" in note and "train2014" in note for note in load_task("xtd10").notes)
    assert any("800 of the 1,000" in note for note in load_task("xtd200").notes)


@pytest.mark.parametrize("name", ["xtd200", "flickr30k-200"])
def test_the_translated_sets_have_a_file_for_every_language(name: str):
    task = load_task(name)
    files = {source.path.removesuffix(".txt") for source in task.files if source.path.endswith(".txt")}
    codes = {languages.normalise(stem) for stem in files - {"test_image_names", "filenames"}}
    assert codes == set(task.languages)
    assert len(task.languages) == 201
