"""The material of a classification: pictures with their classes, prompts as texts, and the systems that are asked.

Prompts stand in for captions, so that systems are made as for retrieval (`run.adapter_system`, `run.english_system`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.artifacts import fingerprint
from mella_retrieval.benchmarks.classes import Classes, load_classes
from mella_retrieval.benchmarks.classification_scores import Doubles, Ints
from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.material import Vectors
from mella_retrieval.benchmarks.protocols import Captions
from mella_retrieval.benchmarks.run import System, adapter_system, english_system
from mella_retrieval.benchmarks.similarity import UnitVectors
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import write_records
from mella_retrieval.embeddings.embed import embed_texts
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.settings import Progress
from mella_retrieval.encoders.loading import load_text_tower
from mella_retrieval.encoders.towers import TextTower
from mella_retrieval.errors import ConfigError, DataError


@dataclass(frozen=True)
class Question:
    """Pictures with their classes, and the prompts of each language.

    Attributes:
        image_ids: (N,) sorted.
        labels: (N,) the class of each picture, by its place in `classes.labels`.
        classes: names and templates.
        languages: those that are asked.
    """

    image_ids: tuple[str, ...]
    labels: Ints
    classes: Classes
    languages: tuple[str, ...]

    @cached_property
    def evaluation(self) -> EvaluationSet:
        """The pictures as gallery, the prompts as captions, each with a picture of its class (or the first, if it has none)."""
        first = np.zeros(len(self.classes.labels), np.int64)
        first[self.labels[::-1]] = np.arange(len(self.labels))[::-1]
        captions = {}
        for code in self.languages:
            prompts = self.classes.prompts(code)
            image = first[[prompt.number for prompt in prompts]]
            captions[code] = Captions(image, [prompt.text for prompt in prompts], [prompt.text_id for prompt in prompts])
        return EvaluationSet(self.image_ids, captions)

    @property
    def empty(self) -> list[str]:
        """The classes that have no picture."""
        counts = np.bincount(self.labels, minlength=len(self.classes.labels))
        return [label for label, count in zip(self.classes.labels, counts, strict=True) if not count]

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the pictures with their classes (`images`) and of the prompts of each language."""
        names = [self.classes.labels[number] for number in self.labels]
        found = {"images": fingerprint(sorted(zip(self.image_ids, names, strict=True)))}
        return found | {code: fingerprint([prompt[:2] for prompt in self.classes.prompts(code)]) for code in self.languages}

    def class_vectors(self, language: str, prompts: Vectors) -> Doubles:
        """Mean of the unit vectors of each class's prompts: (prompts, d) -> (C, d), not yet of unit length."""
        numbers = np.array([prompt.number for prompt in self.classes.prompts(language)])
        sums = np.zeros((len(self.classes.labels), prompts.shape[1]))
        np.add.at(sums, numbers, UnitVectors(prompts, f"prompts in {language}").values.astype(np.float64))
        return np.asarray(sums / np.bincount(numbers)[:, None])


def load_question(task: Task, records: Records, languages: Sequence[str] | None = None) -> Question:
    """The pictures of a classification task with their classes.

    Args:
        task: which rows of the records belong to it, how many pictures they must be, and the names of the classes.
        records: pictures with a column `label`, as the formats `cifar10`, `stl10` and `class-folder` give them.
        languages: which of the task's languages to measure; all by default.

    Raises:
        DataError: a picture with an unknown class or with two, counts that are not the task's, or a language that the task or
            its class names do not have.
        ConfigError: the file of class names.
    """
    if task.kind != "classification" or task.classes is None:
        raise DataError(f"{task.name!r} is no classification.")
    classes, chosen = load_classes(task.classes), tuple(languages or task.languages)
    for what, known in (
        (f"the task {task.name!r}", task.languages),
        (f"the file of class names {classes.name!r}", classes.languages),
    ):
        if strange := [code for code in chosen if code not in known]:
            raise DataError(f"{what} has no language {', '.join(strange)}; it has {', '.join(known)}.")
    table = records.table(["image_id", "label"], where=task.where)
    found: dict[str, str] = {}
    for image_id, label in zip(table["image_id"].to_pylist(), table["label"].to_pylist(), strict=True):
        if found.setdefault(image_id, label) != label:
            raise DataError(f"the picture {image_id!r} is of two classes, {found[image_id]!r} and {label!r}.")
    if unknown := sorted({str(label) for label in found.values()} - set(classes.labels)):
        raise DataError(
            f"{classes.name!r} has no names for the class {', '.join(unknown[:10])} of {records.folder}; "
            f"it knows {', '.join(classes.labels)}."
        )
    task.check(len(found), {code: len(classes.prompts(code)) for code in chosen}, chosen)
    numbers = {label: number for number, label in enumerate(classes.labels)}
    image_ids = tuple(sorted(found))
    return Question(image_ids, np.array([numbers[found[image_id]] for image_id in image_ids], np.int64), classes, chosen)


def embed_prompts(
    question: Question,
    tower: TextTower,
    folder: Path | str,
    languages: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> EmbeddingSet:
    """Embed the prompts of some languages once; a finished set of the same prompts and tower is used again.

    Args:
        question: the prompts.
        tower: the text tower.
        folder: for the prompts as records (`prompts/`) and their vectors (`vectors/`).
        languages: of the question's; all by default.
        progress: called with (prompts done, prompts in all).

    Raises:
        DataError: a prompt that cannot be stored as a text.
    """
    folder = Path(folder)
    items = [
        RawRecord(
            "", "", prompt.text, code, "", prompt.text_id, {"label": question.classes.labels[prompt.number]}, prompt.text_id
        )
        for code in languages or question.languages
        for prompt in question.classes.prompts(code)
    ]
    options = ImportOptions(text_only=True, duplicates="keep")
    report = write_records(folder / "prompts", items, options=options, overwrite=True)
    if report.rejected:
        raise DataError(f"the prompt {report.examples[0].where} cannot be used: {report.examples[0].reason}.")
    return embed_texts(Records.load(folder / "prompts"), tower, folder / "vectors", progress=progress)


def classification_systems(
    question: Question,
    images: EmbeddingSet,
    adapters: Mapping[str, Adapter],
    work: Path | str,
    *,
    tower: TextTower | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[System]:
    """The adapters, and the English dual encoder (or an empty row that says why it is not there).

    Args:
        question: pictures and prompts.
        images: vectors of the pictures.
        adapters: by name, all of one text tower; the first is the one that is measured, the others stand beside it.
        work: folder for the prompts and their vectors.
        tower: the adapters' text tower, where it is loaded already or has moved.
        device: of the towers that are loaded here.
        progress: called with (prompts done, prompts in all).

    Raises:
        ConfigError: there is no adapter.
        MismatchError: an adapter belongs to other towers.
        DataError: a picture has no vector: a test set never shrinks.
    """
    if not adapters:
        raise ConfigError("there is no adapter to measure.")
    work = Path(work)
    own = tower or load_text_tower(next(iter(adapters.values())).config.text_tower.spec, device=device)
    prompts = embed_prompts(question, own, work / "prompts", progress=progress)
    systems = [
        adapter_system(name, adapter, images, prompts, question.evaluation, role="baseline" if number else "system")
        for number, (name, adapter) in enumerate(adapters.items())
    ]
    english = english_system(
        images,
        question.evaluation,
        lambda loaded: embed_prompts(question, loaded, work / "english-prompts", ["en"], progress),
        device=device,
    )
    return [*systems, english]
