"""Asking a captioner the questions, shard by shard: a killed job continues, and nothing is asked twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from mella_retrieval import languages
from mella_retrieval.artifacts import Json
from mella_retrieval.data.ling.answers import FAILED, Answers, Asked, is_failure
from mella_retrieval.data.ling.asking import Asker
from mella_retrieval.data.ling.contracts import Ask, Captioner, Failed, Picture
from mella_retrieval.data.ling.pictures import Unreadable, read_pictures
from mella_retrieval.data.ling.stages import clean
from mella_retrieval.data.records import Records
from mella_retrieval.mllm.score.answers import ArmAnswers, Given
from mella_retrieval.mllm.score.forgetting import Sign, signs_digest
from mella_retrieval.mllm.score.questions import Pictured, QuestionSet
from mella_retrieval.mllm.score.recipe import ScoreRecipe

Progress = Callable[[str, int, int], None]
"""(stage, done, in all)."""

UNREADABLE = "unreadable: "
"""Begins the reason of an answer that failed because of its picture: no model's fault, so the picture is not scored."""


def ask_answers(
    captioner: Captioner,
    records: Records,
    sets: Sequence[QuestionSet],
    work: Path,
    recipe: ScoreRecipe,
    *,
    signs: Sequence[Sign] = (),
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> ArmAnswers:
    """Have a captioner answer all questions. Its memory is let go in the end.

    Args:
        captioner: who is asked.
        records: what the pictures are read from.
        sets: the questions.
        work: folder of stored answers; the caller holds the lock of what it belongs to.
        recipe: batch, workers, shard and seed.
        signs: of the measure of forgetting; not asked of one that has its answers already (`records:`, `table:`).
        retry_failed: ask again where the captioner failed or a picture could not be read before.
        progress: told (stage, questions done, questions in all).

    Raises:
        EncoderError, ConfigError: see `Asker.all`.
    """
    interview = _Interview(captioner, records, work, recipe, retry_failed)
    given = unanswered(captioner, records, sets, recipe)
    try:
        for one in sets:
            given.answers.update({(one.kind, one.lang, name): answer for name, answer in interview.about(one, progress).items()})
        if signs and given.asked is not None:
            given = replace(given, signs_of=signs_digest(signs))
            given.signs.update(interview.about_signs(signs, progress))
    finally:
        captioner.close()
    return given


def unanswered(captioner: Captioner, records: Records, sets: Sequence[QuestionSet], recipe: ScoreRecipe) -> ArmAnswers:
    """What can be told before a captioner is asked: who it is, how it decodes and what its questions are."""
    decoding = decoding_of(captioner)
    asks = captioner.reads_pictures or decoding is not None  # else it has its answers, whatever is asked
    asked = {"seed": recipe.seed, "system": system_of(captioner)} if asks else None
    given = ArmAnswers(captioner.name, captioner.fingerprint, decoding, asked, records.fingerprint)
    for one in sets:
        given.answers.update({(one.kind, one.lang, about.image_id): Given(about.prompt, "") for about in one.pictures})
    return given


def decoding_of(captioner: Captioner) -> Json | None:
    """How a captioner decodes; None where it does not say so."""
    decoding = getattr(captioner, "decoding", None)
    return decoding.model_dump(mode="json") if decoding is not None else None


def system_of(captioner: Captioner) -> str:
    """What a captioner is told before each question: the option `system` of its spec."""
    return parse_qs(captioner.name.partition("?")[2]).get("system", [""])[0]


class _Interview:
    """The questions of one captioner. What comes of it is stored."""

    def __init__(self, captioner: Captioner, records: Records, work: Path, recipe: ScoreRecipe, retry: bool) -> None:
        self._captioner, self._records, self._work, self._recipe, self._retry = captioner, records, work, recipe, retry
        self._ask = Ask(languages.get("en"), (), recipe.seed)
        self._asker = Asker[Picture, Sequence[str]](captioner.name, self._describe, self._flaw)

    def about(self, asked: QuestionSet, progress: Progress | None) -> dict[str, Given]:
        """image_id -> answer, of one set."""
        recipe = self._recipe
        key = {"records": self._records.fingerprint, "pictures": asked.identity, "lang": asked.lang, "kind": asked.kind}
        stored = self._stored(f"{asked.kind}-{asked.lang}", {**key, "shard": recipe.shard}, recipe.batch)
        given: dict[str, Given] = {}
        for number, begin in enumerate(range(0, len(asked.pictures), recipe.shard)):
            pictures = {one.image_id: one for one in asked.pictures[begin : begin + recipe.shard]}

            def ask(ids: list[str], batch: int, pictures: dict[str, Pictured] = pictures) -> Asked:
                self._asker.batch = batch
                found = dict(self._answered([pictures[name] for name in ids], asked.lang))
                return [(name, found[name]) for name in ids], self._asker.batch

            stored.complete(number, list(pictures), ask)
            for name, value in stored.read(number, list(pictures)).items():
                failed = value[FAILED] if is_failure(value) else ""
                given[name] = Given(pictures[name].prompt, "" if failed else value, failed)
            if progress:
                progress(f"asking {asked.name}", len(given), len(asked.pictures))
        return given

    def about_signs(self, signs: Sequence[Sign], progress: Progress | None) -> dict[tuple[str, str], Given]:
        """(image_id, question) -> answer."""
        named = {sign.image_id: sign for sign in signs}
        stored = self._stored("signs", {"signs": signs_digest(signs)}, 2)

        def ask(ids: list[str], batch: int) -> Asked:
            self._asker.batch = batch
            found: dict[str, Any] = {}
            for _, group in groupby(ids, key=lambda name: named[name].pair):
                pair = [named[name] for name in group]
                self._ask = Ask(languages.get("en"), pair[0].prompts, self._recipe.seed)
                found |= self._listened((Picture(sign.image_id, sign.image) for sign in pair), 2)
            return [(name, found[name]) for name in ids], self._asker.batch

        stored.complete(0, list(named), ask)
        if progress:
            progress("asking signs", len(named), len(named))
        given: dict[tuple[str, str], Given] = {}
        for name, value in stored.read(0, list(named)).items():
            for place, prompt in enumerate(named[name].prompts):
                failed = value[FAILED] if is_failure(value) else ""
                given[name, prompt] = Given(prompt, "" if failed else value[place], failed)
        return given

    def _stored(self, name: str, key: Json, batch: int) -> Answers:
        key = {"captioner": self._captioner.fingerprint, "seed": self._recipe.seed, **key}
        return Answers(self._work, name, key, batch, retry=self._retry)

    def _answered(self, pictures: Sequence[Pictured], lang: str) -> Iterator[tuple[str, Any]]:
        """image_id and answer or failure; pictures with the same question are asked together."""
        for prompt, group in groupby(sorted(pictures, key=lambda one: one.prompt), key=lambda one: one.prompt):
            self._ask = Ask(languages.get(lang), (prompt,), self._recipe.seed)
            unreadable: dict[str, Any] = {}
            found = self._listened(self._read([(one.image_id, one.image) for one in group], unreadable), 1)
            yield from unreadable.items()
            yield from ((name, value if is_failure(value) else value[0]) for name, value in found.items())

    def _listened(self, pictures: Iterable[Picture], wanted: int) -> dict[str, Any]:
        """image_id -> so many answers, or a failure."""
        found: dict[str, Any] = {}
        for picture, answer in self._asker.all(pictures):
            if isinstance(answer, Failed):
                found[picture.image_id] = {FAILED: f"captioner failed: {answer.reason}"}
            elif len(answer) < wanted:
                found[picture.image_id] = {FAILED: f"{len(answer)} answers to {wanted} questions"}
            else:
                found[picture.image_id] = [clean(text) for text in answer]
        return found

    def _read(self, rows: list[tuple[str, str]], unreadable: dict[str, Any]) -> Iterator[Picture]:
        if not self._captioner.reads_pictures:
            yield from (Picture(image_id, None) for image_id, _ in rows)
            return
        prepare = getattr(self._captioner, "prepare", None)
        for found in read_pictures(rows, self._records, self._recipe.workers, 2 * self._asker.batch, prepare):
            if isinstance(found, Unreadable):
                unreadable[found.image_id] = {FAILED: f"{UNREADABLE}{found.reason}"}
            else:
                yield found

    def _describe(self, pictures: Sequence[Picture]) -> Sequence[Sequence[str] | Failed]:
        return self._captioner.describe(pictures, self._ask)

    def _flaw(self, answer: Any) -> str:
        if isinstance(answer, str) or not isinstance(answer, Sequence) or not all(isinstance(text, str) for text in answer):
            return "which is no list of texts"
        wanted = len(self._ask.prompts)
        return f"{len(answer)} answers to {wanted} questions" if len(answer) > wanted else ""
