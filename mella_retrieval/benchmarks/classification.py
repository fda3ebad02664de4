"""Zero-shot classification: pictures are asked which of the class names, in some language, they are.

A class's vector is the mean of the vectors of its prompts (every name in every template, through text tower and adapter, each of
unit length), scaled to unit length: CLIP's ensemble (Radford et al., 2021). A picture's classes are ranked by their inner
product with it. `load_question`, `classification_systems`, `run_classification`, `Classification.save`: that is the order.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mella_retrieval.artifacts import atomic_write, writer_lock
from mella_retrieval.benchmarks.classification_material import Question
from mella_retrieval.benchmarks.classification_scores import METRICS, Answers, Ints, answer, chance_scores, score_answers
from mella_retrieval.benchmarks.evaluation import RankedQueries, query_counts
from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT
from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.benchmarks.results import Data, Record, Result, SystemInfo
from mella_retrieval.benchmarks.run import SHUFFLED, Setup, System
from mella_retrieval.benchmarks.scores import CHANCE, Scope
from mella_retrieval.benchmarks.similarity import UnitVectors
from mella_retrieval.benchmarks.tasks import ZERO_SHOT
from mella_retrieval.errors import DataError

CLASSES_CSV = "classes.csv"
DESCRIPTION = (
    "every picture ranks the classes of the test set; a class is the mean of the unit vectors of its prompts in one language; "
    "a class that scores as high as the right one stands before it"
)


@dataclass(frozen=True)
class Classification:
    """A result with the confusions of its main system.

    Attributes:
        result: scores and ranks.
        confusion: by language (C, C) pictures: the class they are of, and the one predicted.
        labels: (C,) the classes.
    """

    result: Result
    confusion: Mapping[str, Ints]
    labels: tuple[str, ...]

    def save(self, folder: Path | str) -> None:
        """Write the result and `classes.csv`: what the main system predicted, class by class.

        Raises:
            LockedError: another process writes there.
        """
        folder = Path(folder)
        with writer_lock(folder):
            self.result.save(folder)
            with atomic_write(folder / CLASSES_CSV) as file:
                file.write(self.classes_csv().encode())

    def classes_csv(self) -> str:
        """One line per language, class and class predicted for a picture of it; its accuracy is the line where both are one."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("language", "class", "predicted", "pictures", "share"))
        writer.writerows(self._lines())
        return text.getvalue()

    def _lines(self) -> Iterator[tuple[str, str, str, int, str]]:
        for language, counts in self.confusion.items():
            for row, label in enumerate(self.labels):
                total = int(counts[row].sum())
                for column, predicted in enumerate(self.labels):
                    if total and (row == column or counts[row, column]):
                        pictures = int(counts[row, column])
                        yield language, label, predicted, pictures, f"{pictures / total:.4f}"


def run_classification(setup: Setup, question: Question, systems: Sequence[System]) -> Classification:
    """Ask every system, and put chance and shuffled labels beside it.

    Args:
        setup: task, bootstrap and what explains the run; its `evaluation` is that of the question.
        question: pictures and prompts.
        systems: made with `question.evaluation`; the first is the one that shuffled labels and confusions are shown for.

    Raises:
        DataError: a system with other vectors for image -> text (corrections of hubness are for retrieval), of another number
            than pictures or prompts, or with NaN.
    """
    classes = len(question.classes.labels)
    answers = [one for system in systems for one in _ask(system.info.name, system, question, question.labels, setup.device)]
    others = np.random.default_rng(setup.shuffle_seed).permutation(question.labels)
    shuffled = _ask(SHUFFLED, systems[0], question, others, setup.device)
    scope = Scope(question.languages, setup.task.groups)
    missing = {system.info.name: system.info.missing for system in systems if system.info.missing}
    scores = score_answers(answers, question.labels, classes, scope, setup.bootstrap, missing)
    absent = {SHUFFLED: systems[0].info.missing} if systems[0].info.missing else None
    scores += score_answers(shuffled, others, classes, scope, setup.bootstrap, absent)
    scores += chance_scores(question.labels, classes, scope)
    cells = [_cell(one, question.image_ids) for one in (*answers, *shuffled)]
    record = Record(
        task=setup.task,
        protocol=ZERO_SHOT,
        protocol_description=DESCRIPTION,
        data=Data(
            images=len(question.image_ids),
            languages=question.languages,
            queries=query_counts(cells),
            fingerprints=question.fingerprints(),
            revision=setup.known_revision,
            checksum=setup.checksum,
        ),
        bootstrap=setup.bootstrap,
        systems=(*(system.info for system in systems), *_floors(systems[0].info)),
        scores=tuple(scores),
        provenance=setup.provenance("shuffled labels"),
        notes=_notes(question),
    )
    confusion = {one.language: _confusion(one, question) for one in answers if one.system == systems[0].info.name}
    return Classification(Result(record, tuple(cells)), confusion, question.classes.labels)


def result_rows(result: Result) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table: every metric of all systems per language, in %, "-" where there is none."""
    systems = [system.name for system in result.record.systems]
    values = {(score.system, score.language, score.metric): score.value for score in result.record.scores}
    rows = []
    for row in dict.fromkeys(score.language for score in result.record.scores):
        found = [[values.get((system, row, metric)) for metric in METRICS] for system in systems]
        rows.append([row, *(" / ".join("-" if value is None else f"{100 * value:.1f}" for value in three) for three in found)])
    return ["", *systems], rows


def _ask(name: str, system: System, question: Question, labels: Ints, device: str) -> list[Answers]:
    if system.reverse is not None:
        raise DataError(f"{name} has other vectors for image -> text: corrections of hubness are for retrieval.")
    if not system.texts:
        return []
    images = UnitVectors(system.images, f"image vectors of {name}")
    if len(images) != len(labels):
        raise DataError(f"{name} has {len(images)} image vectors for {len(labels)} pictures.")
    found = []
    for code, prompts in system.texts.items():
        if len(prompts) != len(question.classes.prompts(code)):
            raise DataError(f"{name} has {len(prompts)} vectors for {len(question.classes.prompts(code))} prompts in {code}.")
        vectors = UnitVectors(question.class_vectors(code, np.asarray(prompts)), f"class vectors of {name} in {code}")
        found.append(Answers(name, code, *answer(vectors, images, labels, device)))
    return found


def _cell(one: Answers, image_ids: tuple[str, ...]) -> RankedQueries:
    return RankedQueries(one.system, one.language, IMAGE_TO_TEXT, image_ids, image_ids, Positions.of(one.rank))


def _confusion(one: Answers, question: Question) -> Ints:
    classes = len(question.classes.labels)
    pairs = np.bincount(question.labels * classes + one.predicted, minlength=classes * classes)
    return pairs.reshape(classes, classes).astype(np.int64)


def _floors(first: SystemInfo) -> tuple[SystemInfo, SystemInfo]:
    described = f"the vectors of {first.name!r}, with the classes of other pictures; must fall to chance"
    return (
        SystemInfo(name=SHUFFLED, role="shuffled", description=described, missing=first.missing),
        SystemInfo(name=CHANCE, role="chance", description="a random order of the classes; macro-F1 of a class by lot; computed"),
    )


def _notes(question: Question) -> tuple[str, ...]:
    notes = [f"Class names and templates: {question.classes.name} ({question.classes.source})."]
    if question.empty:
        notes.append(f"No pictures of {', '.join(question.empty)}: these can be predicted, and macro-F1 leaves them out.")
    return tuple(notes)
