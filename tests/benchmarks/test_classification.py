from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, f1_score

from mella_retrieval.adapters.adapter import Adapter, AdapterConfig
from mella_retrieval.adapters.heads import Head, Linear
from mella_retrieval.benchmarks import classification_scores as scores
from mella_retrieval.benchmarks.classes import Classes
from mella_retrieval.benchmarks.classification import CLASSES_CSV, result_rows, run_classification
from mella_retrieval.benchmarks.classification_material import Question, classification_systems, embed_prompts, load_question
from mella_retrieval.benchmarks.classification_scores import Answers, answer, chance, f1_per_class, score_answers, summarise
from mella_retrieval.benchmarks.evaluation import Reverse
from mella_retrieval.benchmarks.results import Result, SystemInfo
from mella_retrieval.benchmarks.run import ENGLISH, SHUFFLED, Setup, System, absent_english
from mella_retrieval.benchmarks.scores import CHANCE, MEAN, Scope
from mella_retrieval.benchmarks.similarity import UnitVectors
from mella_retrieval.benchmarks.statistics import Bootstrap
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.embeddings.embed import embed_images
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.errors import ConfigError, DataError

# What one picture is told to be ---------------------------------------------------------------------------------------


def units(rows: np.ndarray) -> UnitVectors:
    return UnitVectors(rows, "vectors")


def test_answer__equals_a_plain_sort_where_nothing_ties() -> None:
    rng = np.random.default_rng(0)
    classes, images, labels = rng.standard_normal((12, 8)), rng.standard_normal((500, 8)), rng.integers(0, 12, 500)
    ranks, predicted = answer(units(classes), units(images), labels)
    cosines = (images / np.linalg.norm(images, axis=1)[:, None]) @ (classes / np.linalg.norm(classes, axis=1)[:, None]).T
    own = cosines[np.arange(500), labels]
    assert np.array_equal(predicted, cosines.argmax(axis=1))
    assert np.array_equal(ranks, 1 + (cosines > own[:, None]).sum(axis=1))


@pytest.mark.parametrize("vectors", [np.ones((10, 4)), np.zeros((10, 4))])
def test_answer__a_scorer_that_cannot_tell_anything_apart_finds_nothing(vectors: np.ndarray) -> None:
    labels = np.arange(30) % 10
    images = np.random.default_rng(1).standard_normal((30, 4))
    found = Answers("x", "en", *answer(units(vectors), units(images), labels))
    assert summarise(found, labels, 10) == {"top-1": 0, "top-5": 0, "macro-F1": 0}


def test_answer__a_tie_for_the_best_is_wrong_and_goes_to_the_other_class() -> None:
    classes = np.array([[1.0, 0], [1, 0], [0, 1]])
    ranks, predicted = answer(units(classes), units(np.array([[1.0, 0.1], [1, 0.1], [0.1, 1]])), np.array([0, 1, 2]))
    assert (ranks.tolist(), predicted.tolist()) == ([2, 2, 1], [1, 0, 2])


def test_answer__a_class_without_pictures_competes() -> None:
    classes = np.eye(3)
    images = np.array([[0.9, 0, 0.1], [0, 0.4, 0.9], [0, 0.9, 0.4]])
    ranks, predicted = answer(units(classes), units(images), np.array([0, 1, 1]))
    assert (ranks.tolist(), predicted.tolist()) == ([1, 2, 1], [0, 2, 1])


def test_answer__what_float32_cannot_order_is_predicted_by_float64() -> None:
    rng = np.random.default_rng(7)
    classes = units(np.ones((6, 64)) + 2e-6 * rng.standard_normal((6, 64)))
    images, labels = units(np.ones((200, 64)) + 0.1 * rng.standard_normal((200, 64))), np.arange(200) % 6
    exact = images.values.astype(np.float64) @ classes.values.astype(np.float64).T
    own = exact[np.arange(200), labels]
    ranks, predicted = answer(classes, images, labels)
    assert np.ptp(exact, axis=1).max() < 1e-6
    assert np.array_equal(predicted, exact.argmax(axis=1))
    assert np.array_equal(ranks, 1 + (exact > own[:, None]).sum(axis=1))


def test_answer__nan_is_an_error() -> None:
    images = np.ones((3, 2))
    images[1, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        answer(units(np.eye(2)), units(images), np.array([0, 1, 0]))


def test_answer__many_pictures_at_a_time_or_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    classes, images, labels = units(rng.standard_normal((7, 5))), units(rng.standard_normal((200, 5))), rng.integers(0, 7, 200)
    ranks, predicted = answer(classes, images, labels)
    monkeypatch.setattr(scores, "_ROWS", 3)
    assert all(np.array_equal(a, b) for a, b in zip(answer(classes, images, labels), (ranks, predicted), strict=True))


# Scores ---------------------------------------------------------------------------------------------------------------


def test_macro_f1__as_scikit_learn_counts_it() -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(6, 400, p=[0.4, 0.3, 0.1, 0.1, 0.06, 0.04])
    predicted = np.where(rng.random(400) < 0.6, labels, rng.integers(0, 6, 400))
    found = f1_per_class(labels, predicted, 6)
    assert found == pytest.approx(f1_score(labels, predicted, average=None))
    one = Answers("x", "en", np.where(labels == predicted, 1, 3), predicted)
    assert summarise(one, labels, 6)["macro-F1"] == pytest.approx(f1_score(labels, predicted, average="macro"))


def test_macro_f1__leaves_out_classes_without_pictures_but_counts_what_they_took() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    found = f1_per_class(labels, predicted, 3)
    assert found[:2] == pytest.approx([2 / 3, 1]) and np.isnan(found[2])


@pytest.mark.parametrize("sizes", [(30, 30, 30, 30), (100, 12, 5, 3, 1)])
def test_chance__is_what_guessing_gets(sizes: tuple[int, ...]) -> None:
    labels, classes = np.repeat(np.arange(len(sizes)), sizes), len(sizes) + 1  # one class more, without pictures
    rng, drawn = np.random.default_rng(4), []
    for _ in range(4000):
        drawn.append(np.nanmean(f1_per_class(labels, rng.integers(0, classes, len(labels)), classes)))
    expected = chance(labels, classes)
    assert np.mean(drawn) == pytest.approx(expected["macro-F1"], abs=4 * np.std(drawn) / np.sqrt(4000))
    assert expected["top-1"] == 1 / classes


def test_chance__of_equal_classes_is_about_one_in_so_many() -> None:
    found = chance(np.arange(10_000) % 10, 10)
    assert (found["top-1"], found["top-5"]) == (0.1, 0.5) and found["macro-F1"] == pytest.approx(0.1, abs=1e-3)


def noisy(system: str, language: str, labels: np.ndarray, classes: int, right: float, seed: int) -> Answers:
    rng = np.random.default_rng(seed)
    hit = rng.random(len(labels)) < right
    other = (labels + rng.integers(1, classes, len(labels))) % classes
    return Answers(system, language, np.where(hit, 1, rng.integers(2, classes + 1, len(labels))), np.where(hit, labels, other))


def test_intervals__are_those_of_a_plain_loop_over_resamples() -> None:
    labels = np.repeat(np.arange(6), [40, 30, 30, 10, 6, 1])  # the last class is missing from many resamples
    answers = [noisy("a", code, labels, 6, right, seed) for seed, (code, right) in enumerate((("cs", 0.6), ("hu", 0.3)))]
    found = score_answers(answers, labels, 6, Scope(("cs", "hu"), {"pair": ("cs", "hu")}), Bootstrap(resamples=4000))
    rng, loop = np.random.default_rng(9), {"cs": [], "hu": [], "mean": []}
    for _ in range(600):
        rows = rng.integers(0, len(labels), len(labels))
        for one in answers:
            there = np.unique(labels[rows])
            loop[one.language].append(f1_score(labels[rows], one.predicted[rows], labels=there, average="macro"))
        loop["mean"].append((loop["cs"][-1] + loop["hu"][-1]) / 2)
    for row, drawn in loop.items():
        score = next(score for score in found if (score.language, score.metric) == (row, "macro-F1"))
        assert (score.low, score.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.025)
        assert score.standard_error == pytest.approx(np.std(drawn), rel=0.15)
    top = {score.language: score for score in found if score.metric == "top-1"}
    assert top["pair"].value == top[MEAN].value == pytest.approx((top["cs"].value + top["hu"].value) / 2)
    share = np.mean(answers[0].rank == 1)
    assert ((top["cs"].low + top["cs"].high) / 2, top["cs"].value) == pytest.approx((share, share), abs=0.02)
    assert top["cs"].standard_error == pytest.approx(np.sqrt(share * (1 - share) / len(labels)), rel=0.1)


def test_intervals__do_not_hang_on_how_much_is_resampled_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(90) % 6
    answers = [noisy("a", code, labels, 6, 0.5, seed) for seed, code in enumerate(("cs", "hu", "th"))]
    first = score_answers(answers, labels, 6, Scope(("cs", "hu", "th"), {}), Bootstrap(resamples=300))
    monkeypatch.setattr(scores, "_VALUES", 1)
    for one, again in zip(
        first, score_answers(answers, labels, 6, Scope(("cs", "hu", "th"), {}), Bootstrap(resamples=300)), strict=True
    ):
        assert (again.value, again.low, again.high) == pytest.approx((one.value, one.low, one.high), abs=1e-12)


def test_scores__few_classes_have_no_top_5() -> None:
    labels = np.arange(20) % 4
    found = score_answers([noisy("a", "cs", labels, 4, 0.5, 0)], labels, 4, Scope(("cs",), {}), Bootstrap(resamples=10))
    top = next(score for score in found if score.metric == "top-5")
    assert top.value is None and top.reason == "there are only 4 classes"


def test_scores__a_silent_gap_is_an_error_and_a_reason_is_shown() -> None:
    labels = np.arange(20) % 4
    answers, scope = [noisy("a", "cs", labels, 4, 0.5, 0)], Scope(("cs", "hu"), {})
    with pytest.raises(DataError, match="a has neither answers nor a reason for their absence in hu"):
        score_answers(answers, labels, 4, scope, Bootstrap(resamples=10))
    found = score_answers(answers, labels, 4, scope, Bootstrap(resamples=10), {"a": {"hu": "it reads Czech"}})
    assert {score.reason for score in found if score.language == "hu"} == {"it reads Czech"}
    assert {score.reason for score in found if score.language == MEAN} == {"no value in 1 of 2 languages"}


# A run ----------------------------------------------------------------------------------------------------------------

NAMES = ("one", "two", "three", "four", "five", "six", "seven")
SEVEN = Classes(
    name="seven",
    source="here",
    templates={"en": ("{}", "x {}"), "hu": ("{}",)},
    names={n: {"en": (n,), "hu": (n,)} for n in NAMES},
)


def question(pictures: int = 350, classes: Classes = SEVEN) -> Question:
    ids = tuple(f"p{number:04d}" for number in range(pictures))
    return Question(ids, np.random.default_rng(5).integers(0, 7, pictures), classes, ("en", "hu"))


def system(asked: Question, noise: dict[str, float], name: str = "ours", dim: int = 16) -> System:
    """Class directions, pictures near them, and prompts that are further away the noisier their language is."""
    rng = np.random.default_rng(6)
    centres = np.linalg.qr(rng.standard_normal((dim, 7)))[0].T
    images = centres[asked.labels] + 0.15 * rng.standard_normal((len(asked.labels), dim))
    texts = {}
    for code, much in noise.items():
        numbers = [prompt.number for prompt in asked.classes.prompts(code)]
        texts[code] = centres[numbers] + much * rng.standard_normal((len(numbers), dim))
    return System(SystemInfo(name=name, role="system"), texts, images)


def setup(asked: Question, **changes: object) -> Setup:
    task = Task(name="seven", title="Seven", source="here", licence="CC0", kind="classification", classes="seven.yaml",
                protocols=("zero-shot",), languages=("en", "hu"), groups={"both": ("en", "hu")})  # fmt: skip
    return Setup(task, asked.evaluation, bootstrap=Bootstrap(resamples=200), **changes)


def test_class_vectors__prompts_count_alike_whatever_their_length() -> None:
    asked = question()
    prompts = np.zeros((14, 3))
    prompts[::2, 0], prompts[1::2, 1] = 100, 0.01
    assert asked.class_vectors("en", prompts) == pytest.approx(np.tile([0.5, 0.5, 0], (7, 1)))


def test_run__scores_beside_chance_and_shuffled_labels(tmp_path: Path) -> None:
    asked = question()
    made = run_classification(
        setup(asked), asked, [system(asked, {"en": 0.05, "hu": 0.3}), absent_english(asked.evaluation, "gone")]
    )
    result = made.result

    def value(name: str, row: str, metric: str) -> float:
        found = result.score(name, row, "i2t", metric).value
        assert found is not None
        return found

    assert value("ours", "en", "top-1") > value("ours", "hu", "top-1") > 0.4
    assert value("ours", "both", "macro-F1") == pytest.approx(
        (value("ours", "en", "macro-F1") + value("ours", "hu", "macro-F1")) / 2
    )
    assert value(CHANCE, "hu", "top-1") == pytest.approx(1 / 7) and value(CHANCE, "en", "top-5") == pytest.approx(5 / 7)
    for metric in scores.METRICS:
        assert value(SHUFFLED, "en", metric) == pytest.approx(value(CHANCE, "en", metric), abs=0.08)
        assert result.score("ours", "en", "i2t", metric).low is not None
        assert result.score(ENGLISH, "en", "i2t", metric).reason == "gone"
    assert result.record.protocol == "zero-shot" and result.record.data.queries["hu"] == {"t2i": 0, "i2t": 350}
    made.save(tmp_path / "out")
    again = Result.load(tmp_path / "out")
    assert again.record == result.record
    assert [cell.rank.tolist() for cell in again.ranks] == [cell.rank.tolist() for cell in result.ranks]
    head, rows = result_rows(again)
    assert head == ["", "ours", ENGLISH, SHUFFLED, CHANCE] and [row[0] for row in rows] == ["en", "hu", "mean", "both"]
    assert rows[1][2] == "- / - / -" and rows[0][1].startswith(f"{100 * value('ours', 'en', 'top-1'):.1f} / ")


def test_run__classes_csv_is_the_confusion_of_the_main_system(tmp_path: Path) -> None:
    asked = question()
    ours = system(asked, {"en": 0.4, "hu": 0.4})
    made = run_classification(setup(asked), asked, [ours])
    made.save(tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / CLASSES_CSV).read_text())))
    vectors, images = units(asked.class_vectors("hu", ours.texts["hu"])), units(ours.images)
    expected = confusion_matrix(asked.labels, answer(vectors, images, asked.labels)[1], labels=range(7))
    found = {(row["class"], row["predicted"]): row for row in rows if row["language"] == "hu"}
    for at, label in enumerate(NAMES):
        for to, other in enumerate(NAMES):
            count = int(found[label, other]["pictures"]) if (label, other) in found else 0
            assert count == expected[at, to]
        assert float(found[label, label]["share"]) == pytest.approx(expected[at, at] / expected[at].sum(), abs=1e-4)
    accuracy = sum(int(row["pictures"]) for row in found.values() if row["class"] == row["predicted"]) / 350
    assert made.result.score("ours", "hu", "i2t", "top-1").value == pytest.approx(accuracy)


def test_run__says_which_classes_are_empty() -> None:
    asked = question(40)
    asked = Question(asked.image_ids, np.minimum(asked.labels, 4), SEVEN, ("en", "hu"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = run_classification(setup(asked), asked, [system(asked, {"en": 0.1, "hu": 0.1})])
    assert "No pictures of six, seven" in made.result.record.notes[1]
    assert made.result.score("ours", "en", "i2t", "macro-F1").value == pytest.approx(1, abs=0.1)


def test_run__refuses_vectors_that_do_not_fit() -> None:
    asked = question()
    ours = system(asked, {"en": 0.1, "hu": 0.1})
    with pytest.raises(DataError, match="349 image vectors for 350 pictures"):
        run_classification(setup(asked), asked, [System(ours.info, ours.texts, ours.images[1:])])
    with pytest.raises(DataError, match="13 vectors for 14 prompts in en"):
        run_classification(setup(asked), asked, [System(ours.info, {**ours.texts, "en": ours.texts["en"][1:]}, ours.images)])
    with pytest.raises(DataError, match="corrections of hubness"):
        run_classification(setup(asked), asked, [System(ours.info, ours.texts, ours.images, Reverse(ours.texts, ours.images))])


# From a folder of pictures --------------------------------------------------------------------------------------------

COLOURS = {"red": (255, 20, 20), "green": (20, 255, 20), "blue": (20, 20, 255)}
YAML = """
name: colours
source: made here
templates: {en: ["{}", "photo: {}"], hu: ["{}", "kép: {}"]}
names:
  red: {en: red, hu: piros}
  green: {en: green, hu: zöld}
  blue: {en: blue, hu: kék}
"""


@pytest.fixture
def colours(tmp_path: Path) -> tuple[Records, Task]:
    rng = np.random.default_rng(8)
    for name, colour in COLOURS.items():
        for number in range(4):
            path = tmp_path / "pictures" / "test" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = np.clip(np.array(colour) + rng.integers(-20, 20, 3), 0, 255)
            Image.fromarray(np.broadcast_to(shade.astype(np.uint8), (4, 4, 3)).copy()).save(path)
    import_records(tmp_path / "pictures", tmp_path / "records", "class-folder")
    (tmp_path / "colours.yaml").write_text(YAML)
    task = Task(name="colours", title="Colours", source="here", licence="CC0", kind="classification",
                classes=str(tmp_path / "colours.yaml"), protocols=("zero-shot",), languages=("en", "hu"), images=12,
                where={"split": "test"})  # fmt: skip
    return Records.load(tmp_path / "records"), task


def adapter(image, text) -> Adapter:
    """Carries each colour word to the direction of its colour."""
    weight = np.tile(np.eye(3, dtype=np.float32), 2)
    config = AdapterConfig(method="by hand", options={}, text_tower=text.info, image_tower=image.info, text_head=["linear"],
                           image_head=[], languages=["en", "hu"], inputs={}, selection={}, seed=0, versions={})  # fmt: skip
    return Adapter(config, Head((Linear(weight, np.full(3, -0.3, np.float32)),)), Head())


def test_from_pictures_to_scores(colours: tuple[Records, Task], tmp_path: Path) -> None:
    records, task = colours
    image = load_image_tower("module:fakes:Colours", device="cpu", allow_module=True)
    text = load_text_tower("module:fakes:Words", device="cpu", allow_module=True)
    images = embed_images(records, image, tmp_path / "images")
    asked = load_question(task, records)
    assert [asked.classes.labels[number] for number in asked.labels[:4]] == ["blue"] * 4  # pictures are in the order of their ids
    joined = adapter(image, text)
    systems = classification_systems(asked, images, {"ours": joined, "again": joined}, tmp_path / "work", tower=text)
    assert [(one.info.name, one.info.role) for one in systems] == [
        ("ours", "system"),
        ("again", "baseline"),
        (ENGLISH, "english"),
    ]
    result = run_classification(Setup(task, asked.evaluation), asked, systems).result
    assert [result.score("ours", code, "i2t", "top-1").value for code in ("en", "hu", "mean")] == [1, 1, 1]
    assert "has no text tower" in str(result.score(ENGLISH, "en", "i2t", "top-1").reason)
    english = load_question(task, records, ["en"])
    assert english.languages == ("en",) and english.fingerprints()["en"] == asked.fingerprints()["en"]


def test_load_question__does_not_hang_on_the_order_of_the_records(colours: tuple[Records, Task], tmp_path: Path) -> None:
    records, task = colours
    rows = records.table().to_pylist()[::-1]
    items = [RawRecord(row["image_id"], row["image"], None, "", extras={"label": row["label"], "split": "test"}) for row in rows]
    write_records(tmp_path / "backwards", items, image_root=records.image_root)
    first, second = load_question(task, records), load_question(task, Records.load(tmp_path / "backwards"))
    assert first.image_ids == second.image_ids and first.labels.tolist() == second.labels.tolist()
    assert first.fingerprints() == second.fingerprints()


def test_prompts__are_embedded_once(colours: tuple[Records, Task], tmp_path: Path) -> None:
    records, task = colours
    text = load_text_tower("module:fakes:Words", device="cpu", allow_module=True)
    asked = load_question(task, records)
    first = embed_prompts(asked, text, tmp_path / "work")
    assert len(first) == 12 and sorted(set(first.column("lang"))) == ["en", "hu"] and first.column("label")[0] == "red"
    made = (tmp_path / "work" / "vectors" / "manifest.json").stat().st_mtime_ns
    embed_prompts(asked, text, tmp_path / "work")
    assert (tmp_path / "work" / "vectors" / "manifest.json").stat().st_mtime_ns == made
    assert len(embed_prompts(asked, text, tmp_path / "english", ["en"])) == 6


def test_load_question__a_test_set_that_is_another_one(colours: tuple[Records, Task], tmp_path: Path) -> None:
    records, task = colours
    with pytest.raises(DataError, match="12 images instead of 13"):
        load_question(task.model_copy(update={"images": 13}), records)
    with pytest.raises(DataError, match="task 'colours' has no language th"):
        load_question(task, records, ["th"])
    with pytest.raises(DataError, match="class names 'colours' has no language th"):
        load_question(task.model_copy(update={"languages": ("en", "th")}), records)
    with pytest.raises(DataError, match="'cifar10' has no names for the class blue, green, red"):
        load_question(task.model_copy(update={"classes": "cifar10", "languages": ("en",)}), records)
    with pytest.raises(ConfigError, match="no class names 'colurs'"):
        load_question(task.model_copy(update={"classes": "colurs"}), records)
    with pytest.raises(DataError, match="is no classification"):
        load_question(Task(name="x", title="X", source="h", licence="C", protocols=("first",), languages=("en",)), records)
    path = tmp_path / "twice.csv"
    path.write_text("image_id,image,text,lang,label\np,a.png,x,en,red\np,a.png,y,en,blue\n")
    import_records(path, tmp_path / "twice")
    with pytest.raises(DataError, match="'p' is of two classes, 'red' and 'blue'"):
        load_question(task.model_copy(update={"where": {}}), Records.load(tmp_path / "twice"))
