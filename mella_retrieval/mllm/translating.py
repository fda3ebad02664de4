"""`translate_records`: the texts of a records folder in other languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from mella_retrieval import languages
from mella_retrieval.artifacts import Json, beside
from mella_retrieval.data.ling.checks.check import Tools
from mella_retrieval.data.ling.contracts import Translator
from mella_retrieval.data.ling.judging import Judgement
from mella_retrieval.data.ling.making import ENGLISH_ID
from mella_retrieval.data.ling.outcomes import (
    SCORE,
    begin,
    judged,
    plain,
    rejected,
    score_columns,
    without_translation,
    writing,
)
from mella_retrieval.data.ling.report import CheckedTexts
from mella_retrieval.data.ling.stages import Progress, translate
from mella_retrieval.data.ling.translating import Questions, Text, TextJob, text_id
from mella_retrieval.data.ling.translators import SOURCE_TEXT_ID
from mella_retrieval.data.records import COLUMNS, Note, RawRecord, Records, Where
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import Item, write_records
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.languages import Language
from mella_retrieval.mllm.translate_recipe import TranslateRecipe

Row = dict[str, Any]


@dataclass(frozen=True)
class Models:
    """What makes and checks the translations. Attributes: tools: of the checks, see `data.ling.making.usual_tools`."""

    translator: Translator
    tools: Tools = field(default_factory=Tools)


@dataclass
class TranslateReport(CheckedTexts):
    """Counts of a whole job.

    Attributes:
        source: language of the texts.
        sources: texts in it.
        passed_over: why rows were not translated -> rows.
    """

    source: str = ""
    sources: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> Json:
        """JSON-able form."""
        return {"source": self.source, "sources": self.sources, "passed_over": dict(self.passed_over), **super().as_dict()}


def translate_records(
    records: Records,
    out: Path | str,
    recipe: TranslateRecipe,
    models: Models,
    *,
    where: Where | None = None,
    retry_failed: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TranslateReport:
    """Translate the texts of records, check the translations, and write what is good as records.

    What the translator said stands in `<out>.work`, shard by shard: a killed job goes on where it stopped and ends with the same
    bytes; another job on the same texts asks only what was not asked before. The folder may be removed when all is done.
    Memory does not grow with the number of texts.

    Args:
        records: with pictures or without; rows without a text or in another language are passed over.
        out: the new records folder. A translation keeps picture, source and further columns of the row that it translates,
            without scores of checks, and gets `source_text_id`, `english_id` (the same where the texts are English; what the row
            has where they are not), `translator` and the scores of its own checks, `check_<score>`.
        recipe: languages, and how translations are checked.
        models: the translator, and the tools of the checks.
        where: keep only rows with the given column values.
        retry_failed: ask again where the translator failed before.
        overwrite: replace a records folder that is there.
        progress: told (stage, texts done, texts in all).

    Raises:
        ConfigError: the language of the texts is to be named, or is one to translate into. DataError: there is no text in it,
            the translator does not know a language, nothing was kept, or `out` would replace the records or their pictures.
        EncoderError: the translator cannot be run, or failed many times in a row.
        ArtifactError, LockedError: `out` is there already, is being written, or cannot be written.
    """
    out = Path(out)
    report = _survey(records, recipe, where)
    source, targets = languages.get(report.source), [languages.get(code) for code in recipe.languages]
    for target in targets:
        models.translator.require(source, target)
    with writing(records, out, overwrite=overwrite):
        identity = {"records": records.fingerprint, "where": plain(where), "shard": recipe.shard, "texts": source.code}
        questions = Questions(
            work=beside(out, ".work"),
            identity=identity,
            source=source,
            targets=targets,
            translator=models.translator,
            tools=models.tools,
            checks=recipe.checks.chosen(),
            batch=recipe.batch,
            retry=retry_failed,
        )
        job = TranslateJob(questions, records, where, report.sources, recipe.shard)
        translate(job, progress)
        begin(report, job, targets, recipe.checks)
        report.written = write_records(
            out,
            _items(job, report),
            options=ImportOptions(duplicates="keep", text_only=True),  # texts that say the same may be translated alike
            made_by=_made_by(job, recipe),
            overwrite=overwrite,
            progress=(lambda done, _: progress("writing", done, 0)) if progress else None,
        )
    return report


class TranslateJob(TextJob):
    """Texts of records, read shard by shard: only one of them stands in memory."""

    def __init__(self, questions: Questions, records: Records, where: Where | None, texts: int, shard: int) -> None:
        super().__init__(questions)
        self._records, self._texts, self._shard = records, texts, shard
        self._where = {**(where or {}), "lang": questions.source.code}
        self._held: tuple[int, list[Row]] = (-1, [])
        self._following: Iterator[list[Row]] = iter(())

    @property
    def records(self) -> Records:
        """Where the texts come from."""
        return self._records

    @property
    def shards(self) -> list[tuple[int, int]]:
        """Begin and end of each in the texts; the last one may be shorter."""
        return list(pairwise([*range(0, self._texts, self._shard), self._texts]))

    def rows(self, shard: int) -> list[Row]:
        """The rows of a shard. Shards are read one after the other; going back begins anew."""
        held, rows = self._held
        if shard < held or held < 0:
            self._following, held = self._read(), -1
        while held < shard:
            held, rows = held + 1, next(self._following)
        self._held = held, rows
        return rows

    def _read(self) -> Iterator[list[Row]]:
        waiting: list[pa.RecordBatch] = []
        for batch in self._records.batches(self._shard, where=self._where):
            waiting.append(batch)
            while sum(map(len, waiting)) >= self._shard:
                together = pa.Table.from_batches(waiting)
                yield together.slice(0, self._shard).to_pylist()
                waiting = together.slice(self._shard).to_batches()
        if any(map(len, waiting)):
            yield pa.Table.from_batches(waiting).to_pylist()

    def sources(self, shard: int) -> list[Text]:
        """See `TextJob`."""
        return [Text(row["text_id"], row["image_id"], 1, row["text"]) for row in self.rows(shard)]

    def translation(self, source: Text, lang: Language, content: str) -> Text:
        """A translation, named after its source: two texts without a picture may be translated alike."""
        return Text(text_id(source.text_id, lang, content), source.image_id, source.view, content, source)


def _survey(records: Records, recipe: TranslateRecipe, where: Where | None) -> TranslateReport:
    """Which texts there are, and what is passed over."""
    counts: Counter[str] = Counter()
    for batch in records.batches(columns=["lang"], where=where):
        counts.update(batch["lang"].to_pylist())
    without = counts.pop("", 0)
    filtered = " that pass the filter" if where else ""
    if not counts:
        raise DataError(f"{records.folder} has no texts{filtered}: there is nothing to translate.")
    known = ", ".join(sorted(counts))
    if recipe.source is None and len(counts) > 1:
        raise ConfigError(f"{records.folder} has texts in {known}: name the language to translate from (--from, source=...).")
    source = recipe.source or next(iter(counts))
    if source not in counts:
        raise DataError(f"{records.folder} has no texts in {languages.get(source).name} ({source}){filtered}; it has {known}.")
    if source in recipe.languages:
        raise ConfigError(f"{source} is the language of the texts in {records.folder}, nothing to translate into.")
    passed = Counter({f"text in {code}": counts[code] for code in sorted(counts) if code != source})
    if without:
        passed["no text"] = without
    return TranslateReport(source=source, sources=counts[source], passed_over=passed)


def _made_by(job: TranslateJob, recipe: TranslateRecipe) -> Json:
    """What made the records, for their manifest; how many were asked at a time decides nothing."""
    questions = job.questions
    translator, tower = questions.translator, questions.tools.tower
    return {
        "translate": recipe.model_dump(mode="json", exclude={"batch"}),
        "records": questions.identity,
        "translator": {"name": translator.name, "fingerprint": translator.fingerprint} if translator else None,
        "tower": tower.info.to_json() if tower else None,
    }


def _items(job: TranslateJob, report: TranslateReport) -> Iterator[Item]:
    for why, count in report.passed_over.items():
        yield Note(f"{count:,} records were passed over: {why}.")
    for shard in range(len(job.shards)):
        yield from _shard(job, shard, report)


def _shard(job: TranslateJob, shard: int, report: TranslateReport) -> Iterator[Item]:
    """The records of a shard in the order of their sources, each with its translations; and all that was rejected."""
    rows = {row["text_id"]: row for row in job.rows(shard)}
    made: dict[str, list[Item]] = {name: [] for name in rows}
    for target in job.targets:
        texts, without = job.translations(shard, target)
        for text, judgement in judged(job, shard, target, texts, report):
            owner = text.source.text_id if text.source else ""
            line = rejected(text, target, judgement, f"{owner}, {target.code}", report)
            made[owner].append(line or _record(job, text, target, judgement, rows[owner]))
        for name, reason in without.items():
            made[name].append(without_translation(name, target, reason, report))
    for items in made.values():
        yield from items


def _record(job: TranslateJob, text: Text, lang: Language, judgement: Judgement, row: Row) -> RawRecord:
    kept = {name: value for name, value in row.items() if name not in COLUMNS and not name.startswith(SCORE)}
    english = {ENGLISH_ID: row["text_id"]} if job.source.code == "en" else {}
    translator = job.questions.translator
    made = {SOURCE_TEXT_ID: row["text_id"], **english, "translator": translator.name if translator else None}
    return RawRecord(
        image_id=row["image_id"],
        image=job.records.place_of(row["image"]),
        text=text.content,
        lang=lang.code,
        source=row["source"],
        text_id=text.text_id,
        extras={**kept, **made, **score_columns(judgement)},
        where=text.text_id,
    )
