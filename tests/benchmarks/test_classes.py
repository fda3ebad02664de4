from __future__ import annotations

from pathlib import Path

import pytest

from mella_retrieval import languages
from mella_retrieval.benchmarks.classes import Classes, load_classes
from mella_retrieval.benchmarks.tasks import Task, list_tasks, load_task
from mella_retrieval.data.formats import cifar10, stl10
from mella_retrieval.errors import ConfigError
from mella_retrieval.pocket.vocabulary import words
from mella_retrieval.recipes import build_config

PETS = {
    "name": "pets",
    "source": "made here",
    "templates": {"en": ["{}", "photo: {}"], "hu": "fénykép: {}"},
    "names": {"cat": {"en": "cat", "hu": "macska"}, "dog": {"en": ["dog", "hound"], "hu": "kutya"}},
}


def classes(**changes: object) -> Classes:
    return build_config(Classes, {**PETS, **changes}, "pets.yaml")


def test_prompts__every_name_in_every_template() -> None:
    found = classes()
    assert found.labels == ("cat", "dog") and found.languages == ("en", "hu")
    assert found.prompts("en") == [
        ("cat#en#0", "cat", 0),
        ("cat#en#1", "photo: cat", 0),
        ("dog#en#0", "dog", 1),
        ("dog#en#1", "photo: dog", 1),
        ("dog#en#2", "hound", 1),
        ("dog#en#3", "photo: hound", 1),
    ]
    assert [prompt.text for prompt in found.prompts("hu")] == ["fénykép: macska", "fénykép: kutya"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": {"cat": {"en": "cat"}, "dog": {"en": "dog", "hu": "kutya"}}}, "cat: no name in hu"),
        ({"templates": {"en": "{}"}}, "cat: no template in hu"),
        ({"templates": {"en": "a photo", "hu": "{}"}}, "must have one {}"),
        ({"templates": {"en": "{} and {}", "hu": "{}"}}, "must have one {}"),
        ({"templates": {"en": "{name}", "hu": "{}"}}, "must have one {}"),
        ({"templates": {"en": ["{}", "{}"], "hu": "{}"}}, "en: templates are missing or repeated"),
        ({"templates": {"en": [], "hu": "{}"}}, "en: templates are missing or repeated"),
        ({"templates": {"english?": "{}"}}, "english"),
        (
            {"names": {"cat": {"en": "animal", "hu": "a"}, "dog": {"en": "animal", "hu": "b"}}},
            "'animal' in en is both cat and dog",
        ),
        ({"names": {"cat": {"en": " ", "hu": "a"}, "dog": {"en": "dog", "hu": "b"}}}, "cat: an empty name in en"),
        ({"names": {"cat": {"en": [], "hu": "a"}, "dog": {"en": "dog", "hu": "b"}}}, "cat: an empty name in en"),
        ({"names": {"cat": {"en": "cat", "hu": "macska"}}}, "at least 2"),
        ({"names": {"cat": "cat", "dog": "dog"}}, "names.cat"),
        ({"names": {1: {"en": "one", "hu": "egy"}, "dog": {"en": "dog", "hu": "kutya"}}}, "string"),
        ({"template": "x"}, "Did you mean 'templates'"),
    ],
)
def test_classes__what_cannot_be_asked_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        classes(**changes)


def test_classes__languages_in_any_known_form() -> None:
    found = classes(templates={"eng": "{}", "hun_Latn": "{}"})
    assert found.languages == ("en", "hu") and len(found.prompts("hu")) == 2


def test_load_classes__by_name_or_path(tmp_path: Path) -> None:
    assert load_classes("cifar10").name == "cifar10"
    path = tmp_path / "pets.yaml"
    path.write_text("name: pets\nsource: me\ntemplates: {no: '{}'}\nnames: {cat: {no: katt}, dog: {no: hund}}\n")
    assert load_classes(str(path)).languages == ("no",)
    with pytest.raises(ConfigError, match="Did you mean 'cifar10'"):
        load_classes("cifar-10")
    with pytest.raises(ConfigError, match="no file of class names"):
        load_classes(str(tmp_path / "gone.yaml"))


@pytest.mark.parametrize(("name", "expected"), [("cifar10", cifar10.CLASSES), ("stl10", stl10.CLASSES)])
def test_shipped_names__classes_of_the_release_in_all_languages(name: str, expected: tuple[str, ...]) -> None:
    found, task = load_classes(name), load_task(name)
    assert found.name == name and found.labels == expected
    assert set(found.languages) == set(task.languages) == {"en", *languages.MELLA, *languages.UCLIP, "sw"}
    assert {len(templates) for templates in found.templates.values()} == {3}
    for code in found.languages:
        known = words(code).nouns
        for label in ("bird", "cat", "dog"):
            assert found.names[label][code] == (known[label],)
        assert known["car"] in found.names["car" if name == "stl10" else "automobile"][code]


def test_shipped_names__are_written_in_their_script() -> None:
    scripts = {"ar": "؀ۿ", "ko": "가힯", "ru": "Ѐӿ", "sr": "Ѐӿ", "th": "฀๿"}
    for name in ("cifar10", "stl10"):
        found = load_classes(name)
        for code in found.languages:
            first, last = scripts.get(code, "\0ỹ")
            texts = [text for names in found.names.values() for text in names[code]] + [
                t.strip("{}: ") for t in found.templates[code]
            ]
            assert all(first <= letter <= last for text in texts for letter in text.replace(" ", "")), (name, code)


def test_tasks__a_classification_and_its_classes_belong_together() -> None:
    values = {"name": "x", "title": "X", "source": "here", "licence": "CC0", "languages": ["en"]}
    task = {**values, "kind": "classification", "classes": "cifar10", "protocols": ["zero-shot"]}
    assert build_config(Task, task, "x.yaml").classes == "cifar10"
    for changes in ({"classes": None}, {"protocols": ["all-hit"]}, {"kind": "retrieval"}):
        with pytest.raises(ConfigError, match="classification"):
            build_config(Task, {**task, **changes}, "x.yaml")
    with pytest.raises(ConfigError, match="belong to `kind: classification`"):
        build_config(Task, {**values, "protocols": ["all-hit"], "classes": "cifar10"}, "x.yaml")


def test_tasks__shipped_classifications() -> None:
    found = {task.name: task for task in list_tasks() if task.kind == "classification"}
    assert {"cifar10": 10_000, "stl10": 8_000}.items() <= {name: task.images for name, task in found.items()}.items()
    for task in (found["cifar10"], found["stl10"]):
        assert task.classes is not None and set(task.languages) <= set(load_classes(task.classes).languages)
        assert task.format == task.name and task.where == {"split": "test"}
