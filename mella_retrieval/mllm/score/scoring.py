"""`score`: models asked about the pictures of records, their answers scored side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np

from mella_retrieval.artifacts import (
    beside,
    library_versions,
    new_folder,
    read_manifest,
    remove_leftovers,
    require_free,
    writer_lock,
)
from mella_retrieval.data.language_id import LanguageIdentifier
from mella_retrieval.data.ling.contracts import Captioner
from mella_retrieval.data.records import Records, Where
from mella_retrieval.errors import ConfigError
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.score.answers import ArmAnswers, read_answers, require_comparable
from mella_retrieval.mllm.score.asking import UNREADABLE, Progress, ask_answers, unanswered
from mella_retrieval.mllm.score.forgetting import Sign, draw_signs, signs_digest
from mella_retrieval.mllm.score.metrics import METRICS, Tools
from mella_retrieval.mllm.score.overlap import corpus_scores
from mella_retrieval.mllm.score.questions import Pictured, Questions, QuestionSet, find_questions
from mella_retrieval.mllm.score.recipe import ScoreRecipe
from mella_retrieval.mllm.score.results import ScoreReport, SetReport
from mella_retrieval.mllm.score.statistics import Scores, compare_signs, rows_of
from mella_retrieval.mllm.score.writing import KIND, VERSION, write_report
from mella_retrieval.resampling import Doubles

Arm = Captioner | Path
"""A model to ask, or answers that there are already."""

_NAME = re.compile(r"[\w.-]+")
_PACKAGES = ("sacrebleu", "rouge-score", "nltk", "snowballstemmer", "stopwordsiso", "pythainlp", "py3langid", "pillow")


def score(
    records: Records,
    out: Path | str,
    recipe: ScoreRecipe,
    arms: Mapping[str, Arm],
    *,
    where: Where | None = None,
    retry_failed: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ScoreReport:
    """Ask models about the pictures of records and score their answers against the texts.

    What they said stands in `<out>.work` and is not asked again; in the end in `<out>/answers/NAME`.

    Args:
        records: rows with picture and text; their source decides question and metrics (`recipe.sources`).
        out: the new folder: `scores.json`, `scores.csv`, `scores.md`, `skipped.csv`, `answers/`.
        recipe: what is asked and measured.
        arms: name -> model or answers; differences are from the first.
        where: keep only rows with the given column values.
        retry_failed: ask again where a model failed or a picture could not be read before.
        overwrite: replace scores that are there.
        progress: told (stage, done, in all).

    Raises:
        ConfigError: no model, a name that is no file name, a language without template in which a model is to be asked.
        DataError: nothing to score, answers that cannot be read, or references that are mostly in another language.
        MismatchError: models that decode in different ways or were asked different things; answers about other records.
        EncoderError: a model cannot be run, or failed many times in a row.
        ArtifactError, LockedError: `out` is there already, is being written, or cannot be written.
        MissingDependencyError: a package of the extras `mllm` or `data` is not installed.
    """
    out = Path(out)
    _check_names(arms)
    require_free(out, overwrite=overwrite)
    if out.is_dir() and any(out.iterdir()):
        read_manifest(out, KIND, VERSION)  # nothing else will be replaced; said before the long work
    known = {name: read_answers(arm) for name, arm in arms.items() if isinstance(arm, Path)}
    prompts = Prompts.load(recipe.prompts) if len(known) < len(arms) else None
    tools = Tools(LanguageIdentifier() if recipe.identify else None, recipe.repetition)
    questions = find_questions(records, recipe, prompts, tools.identifier, where)
    given = {
        name: known[name] if isinstance(arm, Path) else unanswered(arm, records, questions.sets, recipe)
        for name, arm in arms.items()
    }
    require_comparable(given, questions.sets, records.fingerprint, unlike=recipe.unlike)  # before the long work, as well
    signs = draw_signs(recipe.signs) if recipe.signs else []
    with writer_lock(out):
        remove_leftovers(out.parent, out.name)
        work = beside(out, ".work")
        answers = {
            name: known[name]
            if isinstance(arm, Path)
            else ask_answers(
                arm, records, questions.sets, work, recipe, signs=signs, retry_failed=retry_failed, progress=progress
            )
            for name, arm in arms.items()
        }
        report = score_answers(records.fingerprint, questions, recipe, answers, tools, signs=signs, progress=progress)
        with new_folder(out, overwrite=overwrite) as folder:
            write_report(folder, report, answers, questions)
    return report


def score_answers(
    records: str,
    questions: Questions,
    recipe: ScoreRecipe,
    answers: Mapping[str, ArmAnswers],
    tools: Tools,
    *,
    signs: Sequence[Sign] = (),
    progress: Progress | None = None,
) -> ScoreReport:
    """Score answers that were given; arguments and errors as for `score`, `records` being their fingerprint."""
    arms = dict(answers)
    unlike = require_comparable(arms, questions.sets, records, unlike=recipe.unlike)
    found: list[SetReport] = []
    scores: list[Scores] = []
    done, pictures = 0, sum(len(asked.pictures) for asked in questions.sets)
    for asked in questions.sets:
        report, own = _score_set(asked, recipe, arms, tools)
        found.append(report)
        scores.append(own)
        done += len(asked.pictures)
        if progress:
            progress("scoring", done, pictures)
    notes, rows, unclear = [], rows_of(scores, list(arms), recipe.bootstrap), dict[str, int]()
    if signs:
        digest = signs_digest(signs)
        without = [name for name, given in arms.items() if given.signs_of != digest]
        if without:
            notes.append(f"forgetting is not measured: {', '.join(without)} did not answer about these signs")
        else:
            more, unclear = compare_signs(signs, arms, recipe.bootstrap)
            rows += more
    if unknown := [name for name, given in arms.items() if given.decoding is None]:
        notes.append(f"nothing is known of the decoding of {', '.join(unknown)}")
    return ScoreReport(
        models={name: _model(given) for name, given in arms.items()},
        sets=found,
        rows=rows,
        unlike=unlike,
        passed=questions.passed,
        unclear=unclear,
        notes=notes,
        recipe=recipe.model_dump(mode="json", exclude={"batch", "workers"}),
        records=records,
        versions=library_versions(*_PACKAGES),
    )


def _check_names(arms: Mapping[str, Arm]) -> None:
    if not arms:
        raise ConfigError("there is no model to score: name one, before=SPEC, or give its answers.")
    for name in arms:
        if not _NAME.fullmatch(name) or name.startswith("."):
            raise ConfigError(f"{name!r} cannot name a model: use letters, digits, '-', '_' and '.'; it becomes a folder.")


def _model(given: ArmAnswers) -> dict[str, object]:
    return {"model": given.model, "fingerprint": given.fingerprint, "decoding": given.decoding, "asked": given.asked}


def _score_set(asked: QuestionSet, recipe: ScoreRecipe, arms: Mapping[str, ArmAnswers], tools: Tools) -> tuple[SetReport, Scores]:
    """All metrics of one kind and language."""
    readable = [one for one in asked.pictures if not any(_unreadable(asked, one, given) for given in arms.values())]
    said = {name: [given.of(asked, one.image_id) for one in readable] for name, given in arms.items()}
    wanted = recipe.metrics.get(asked.kind, ())
    missing = {name: why for name in wanted if (why := METRICS[name].missing(asked.lang, tools))}
    names = [name for name in wanted if name not in missing]
    values = {
        (arm, metric): _values(metric, readable, [one.text for one in given], asked.lang, tools)
        for arm, given in said.items()
        for metric in names
    }
    chance = {
        (arm, metric): _chance(metric, readable, [one.text for one in given], asked, recipe, tools)
        for arm, given in said.items()
        for metric in names
        if METRICS[metric].against
    }
    references = [one.texts for one in readable]
    overlaps = {"chrf", "bleu"} & {*names} and readable
    report = SetReport(
        kind=asked.kind,
        lang=asked.lang,
        pictures=len(readable),
        unreadable=len(asked.pictures) - len(readable),
        references=asked.references.rate if asked.references else None,
        failed={name: sum(bool(one.failed) for one in given) for name, given in said.items()},
        empty={name: sum(not one.text and not one.failed for one in given) for name, given in said.items()},
        corpus={name: corpus_scores(references, [one.text for one in given], asked.lang) for name, given in said.items()}
        if overlaps
        else {},
        missing=missing,
    )
    return report, Scores(asked.kind, asked.lang, [one.image_id for one in readable], values, chance)


def _unreadable(asked: QuestionSet, picture: Pictured, given: ArmAnswers) -> bool:
    return given.of(asked, picture.image_id).failed.startswith(UNREADABLE)


def _values(metric: str, pictures: Sequence[Pictured], answers: Iterable[str], lang: str, tools: Tools) -> Doubles:
    """(pictures,) scores; NaN where a picture has none."""
    score_one = METRICS[metric].score
    found = [score_one(one.texts, answer, lang, tools) for one, answer in zip(pictures, answers, strict=True)]
    return np.array([np.nan if value is None else value for value in found], np.float64)


def _chance(
    metric: str, pictures: Sequence[Pictured], answers: Sequence[str], asked: QuestionSet, recipe: ScoreRecipe, tools: Tools
) -> float | None:
    """The mean score of answers handed to other pictures of the same kind and language, over some shuffles.

    A drawn order is moved on by one place, two, three ...: so no answer meets its own picture, nor another one twice.
    """
    order = list(range(len(pictures)))
    Random(f"{recipe.seed} {asked.name}").shuffle(order)
    means = []
    for shift in range(1, min(recipe.shuffles, len(order) - 1) + 1):
        moved = dict(zip(order, order[shift:] + order[:shift], strict=True))
        values = _values(metric, pictures, [answers[moved[place]] for place in range(len(order))], asked.lang, tools)
        means += [float(np.nanmean(values))] if np.isfinite(values).any() else []
    return sum(means) / len(means) if means else None
