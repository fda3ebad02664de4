"""The stages of making `ling`, each over all shards: describe, translate, take scores. What is stored is not asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from mella_retrieval.data.ling.answers import FAILED, Asked
from mella_retrieval.data.ling.asking import Asker
from mella_retrieval.data.ling.checks.check import Check
from mella_retrieval.data.ling.contracts import Failed, Picture, Translator
from mella_retrieval.data.ling.job import Job
from mella_retrieval.data.ling.judging import measure
from mella_retrieval.data.ling.pictures import Unreadable, read_pictures
from mella_retrieval.data.ling.translating import TextJob, pair_id
from mella_retrieval.languages import Language

Progress = Callable[[str, int, int], None]
"""(stage, done, in all)."""


def run_stages(job: Job, progress: Progress | None = None) -> None:
    """Have everything answered. Plug-ins let their memory go after their stage.

    Raises:
        EncoderError, ConfigError ...: see `Asker.all`.
    """
    captioner = job.models.captioner
    pictures = Asker[Picture, Sequence[str]](captioner.name, lambda some: captioner.describe(some, job.ask), partial(_flaw, job))
    try:
        _each_shard(job, progress, "describing", partial(_describe, job, pictures))
    finally:
        captioner.close()
    _each_shard(job, progress, f"checking {job.source.code}", partial(_score, job, job.source))
    translate(job, progress)


def translate(job: TextJob, progress: Progress | None = None) -> None:
    """Have all sources of a job translated and the translations scored; errors as of `run_stages`."""
    translator = job.questions.translator
    if translator is None:
        return
    try:
        for target in job.targets:
            asker = Asker[str, str](translator.name, partial(_ask_translator, translator, job.source, target), _no_text)
            _each_shard(job, progress, f"translating into {target.code}", partial(_translate, job, target, asker))
    finally:
        translator.close()
    for target in job.targets:
        _each_shard(job, progress, f"checking {target.code}", partial(_score, job, target))


def _each_shard(job: TextJob, progress: Progress | None, stage: str, work: Callable[[int], None]) -> None:
    shards = job.shards
    for number, (_, end) in enumerate(shards):
        work(number)
        if progress:
            progress(stage, end, shards[-1][1])


def _describe(job: Job, asker: Asker[Picture, Sequence[str]], shard: int) -> None:
    images = {row["image_id"]: row["image"] for row in job.rows(shard)}

    def ask(ids: list[str], batch: int) -> Asked:
        asker.batch = batch
        found: dict[str, Any] = {}
        readable = _readable(job, [(name, images[name]) for name in ids], found, 2 * batch)
        for picture, answer in asker.all(readable):
            if isinstance(answer, Failed):
                found[picture.image_id] = _failure("captioner", answer)
            else:
                found[picture.image_id] = [clean(text) for text in answer]
        return [(name, found[name]) for name in ids], asker.batch

    job.described.complete(shard, list(images), ask)


def _readable(job: Job, rows: list[tuple[str, str]], others: dict[str, Any], ahead: int) -> Iterator[Picture]:
    """Pictures for the captioner; the reasons of unreadable ones go into `others`."""
    if not job.models.captioner.reads_pictures:
        yield from (Picture(image_id, None) for image_id, _ in rows)
        return
    prepare = getattr(job.models.captioner, "prepare", None)
    for found in read_pictures(rows, job.records, job.recipe.describe.workers, ahead, prepare):
        if isinstance(found, Unreadable):
            others[found.image_id] = {FAILED: found.reason}
        else:
            yield found


def _translate(job: TextJob, target: Language, asker: Asker[str, str], shard: int) -> None:
    contents = {text.text_id: text.content for text in job.sources(shard)}

    def ask(ids: list[str], batch: int) -> Asked:
        asker.batch = batch
        found = {
            text: _failure("translator", answer) if isinstance(answer, Failed) else clean(answer)
            for text, answer in asker.all(sorted(dict.fromkeys(contents[name] for name in ids), key=len))  # little padding
        }
        return [(name, found[contents[name]]) for name in ids], asker.batch

    job.translated[target.code].complete(shard, list(contents), ask)


def _ask_translator(translator: Translator, source: Language, target: Language, texts: Sequence[str]) -> Sequence[str | Failed]:
    return translator.translate(texts, source, target)


def _score(job: TextJob, lang: Language, shard: int) -> None:
    texts = job.texts(shard, lang)
    named = dict(zip(map(pair_id, texts), job.judged(texts, lang), strict=True))
    for check in job.checks(lang):
        if check.stored:

            def ask(ids: list[str], batch: int, check: Check = check) -> Asked:
                return list(zip(ids, measure(check, [named[name] for name in ids], job.questions.tools), strict=True)), batch

            job.scored[check.name, lang.code].complete(shard, list(named), ask, together=check.together)


def _failure(who: str, answer: Failed) -> dict[str, str]:
    return {FAILED: f"{who} failed: {answer.reason}"}


def clean(text: str) -> str:
    """Without white space around it; half of a surrogate pair, which no file can hold, becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def _flaw(job: Job, answer: Any) -> str:
    """What is wrong with the form of a captioner's answer."""
    if isinstance(answer, str) or not isinstance(answer, Sequence) or any(map(_no_text, answer)):
        return "which is no list of texts"
    wanted = len(job.ask.prompts)
    return f"{len(answer)} descriptions where {wanted} may be (describe.views)" if len(answer) > wanted else ""


def _no_text(answer: Any) -> str:
    return "" if isinstance(answer, str) else "which is no text"
