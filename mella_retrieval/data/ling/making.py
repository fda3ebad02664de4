"""`make_ling`: pictures of a records folder become described pictures in many languages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from mella_retrieval.artifacts import Json, beside
from mella_retrieval.data.ling.checks.check import Tools
from mella_retrieval.data.ling.job import Job, Models
from mella_retrieval.data.ling.judging import Judgement
from mella_retrieval.data.ling.outcomes import begin, judged, plain, rejected, score_columns, without_translation, writing
from mella_retrieval.data.ling.recipe import USUAL_COLUMNS, Checks, LingRecipe
from mella_retrieval.data.ling.report import LingReport
from mella_retrieval.data.ling.stages import Progress, run_stages
from mella_retrieval.data.ling.translating import Text
from mella_retrieval.data.ling.translators import SOURCE_TEXT_ID
from mella_retrieval.data.records import Note, RawRecord, Records, Rejected, Where
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import Item, write_records
from mella_retrieval.encoders.towers import TextTower
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.languages import Language

SOURCE = "ling"
ENGLISH_ID = "english_id"
"""Column that methods of training read parallel texts by (`mella train distillation --translations`)."""


def make_ling(
    records: Records,
    out: Path | str,
    recipe: LingRecipe,
    models: Models,
    *,
    where: Where | None = None,
    retry_failed: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> LingReport:
    """Describe pictures, translate the descriptions, check both, and write what is good as records of source `ling`.

    What the models said stands in `<out>.work`, shard by shard: a killed job goes on where it stopped and ends with the same
    bytes; another job on the same pictures asks only what was not asked before. The folder may be removed when all is done.

    Args:
        records: pictures are described once each, whatever texts they have.
        out: the new records folder. Beside the columns of all records: `view` (number of the description), `source_text_id`
            (of a translation), `english_id` (the same where descriptions are English), `captioner`, `translator`, the columns
            of the recipe, and one per score of the checks, `check_<score>`.
        recipe: what is asked and how it is checked.
        models: captioner, translator, and the tools of the checks.
        where: keep only rows with the given column values.
        retry_failed: ask again where a plug-in failed or a picture could not be read before.
        overwrite: replace a records folder that is there.
        progress: told (stage, pictures done, pictures in all).

    Raises:
        ConfigError: target languages without a translator. DataError: it lacks one of them, there is no picture, nothing was
            kept, or `out` would replace the records or their pictures.
        EncoderError: a plug-in cannot be run, or failed many times in a row.
        ArtifactError, LockedError: `out` is there already, is being written, or cannot be written.
    """
    out = Path(out)
    pictures, note = _pictures(records, where, recipe.columns)
    with writing(records, out, overwrite=overwrite):
        identity = {"records": records.fingerprint, "where": plain(where), "shard": recipe.shard}
        work = beside(out, ".work")
        job = Job(pictures, records, work, recipe, models, identity, retry_failed)
        _require(job)
        run_stages(job, progress)
        report = _report(job)
        report.written = write_records(
            out,
            _items(job, report, note),
            options=ImportOptions(),
            made_by=_made_by(job),
            overwrite=overwrite,
            progress=(lambda done, _: progress("writing", done, 0)) if progress else None,
        )
    return report


class Checking(Protocol):
    """A recipe with checks."""

    @property
    def checks(self) -> Checks:
        """The checks."""


def usual_tools(recipe: Checking, tower: TextTower | None = None) -> Tools:
    """The tools of the checks: an identifier of all languages that it knows, where the recipe checks them, and a text tower.

    Raises:
        MissingDependencyError: the identifier's packages are not installed.
    """
    if recipe.checks.language is None:
        return Tools(tower=tower)
    from mella_retrieval.data.language_id import LanguageIdentifier

    return Tools(identifier=LanguageIdentifier(), tower=tower)


def _pictures(records: Records, where: Where | None, columns: tuple[str, ...] | None) -> tuple[pa.Table, Note | None]:
    """The first row of each picture, and what there is to say of image_ids without one."""
    wanted = [name for name in USUAL_COLUMNS if name in records.schema.names] if columns is None else list(columns)
    table = records.table(["image_id", "image", *wanted], where)
    pictured = table.filter(pc.not_equal(table["image"], ""))
    first: dict[str, int] = {}
    for row, image_id in enumerate(pictured["image_id"].to_pylist()):
        first.setdefault(image_id, row)
    if not first:
        raise DataError(
            f"{records.folder} has no pictures{' that pass the filter' if where else ''}: there is nothing to describe."
        )
    without = pc.count_distinct(table["image_id"]).as_py() - len(first)
    note = Note(f"{without:,} image_ids have no picture and were passed over.") if without else None
    return pictured.take(pa.array(first.values(), pa.int64())), note


def _require(job: Job) -> None:
    """What can be known to fail fails before the long work."""
    if job.targets and job.models.translator is None:
        raise ConfigError(
            "the recipe has languages to translate into and there is no translator: name one, or set translate.languages=[]."
        )
    for target in job.targets:
        if job.models.translator:
            job.models.translator.require(job.source, target)


def _made_by(job: Job) -> Json:
    """What made the records, for their manifest; how many were asked at a time decides nothing."""
    translator, tower = job.models.translator, job.models.tools.tower
    recipe = job.recipe.model_dump(mode="json", exclude={"describe": {"batch", "workers"}, "translate": {"batch"}})
    return {
        "ling": recipe,
        "records": job.identity,
        "captioner": {"name": job.models.captioner.name, "fingerprint": job.models.captioner.fingerprint},
        "translator": {"name": translator.name, "fingerprint": translator.fingerprint} if translator else None,
        "tower": tower.info.to_json() if tower else None,
    }


def _report(job: Job) -> LingReport:
    report = LingReport(pictures=len(job.pictures))
    begin(report, job, (job.source, *job.targets), job.recipe.checks)
    return report


def _items(job: Job, report: LingReport, note: Note | None) -> Iterator[Item]:
    if note:
        yield note
    for shard in range(len(job.shards)):
        yield from _shard(job, shard, report)


def _shard(job: Job, shard: int, report: LingReport) -> Iterator[Item]:
    """The records of a shard: of each picture its descriptions, each with its translations; and all that was rejected."""
    rows = {row.pop("image_id"): row for row in job.rows(shard)}
    for image_id, reason in job.undescribed(shard).items():
        report.undescribed[reason.partition(":")[0]] += 1
        yield Rejected(image_id, reason)
    translated: dict[str, list[Item]] = {}
    for target in job.targets:
        texts, without = job.translations(shard, target)
        for text, judgement in judged(job, shard, target, texts, report):
            owner = text.source.text_id if text.source else ""
            translated.setdefault(owner, []).append(_item(job, text, target, judgement, rows[text.image_id], report))
        for text_id, reason in without.items():
            translated.setdefault(text_id, []).append(without_translation(text_id, target, reason, report))
    descriptions = job.descriptions(shard)
    report.repeated += sum(1 for _ in job.views(shard)) - len(descriptions)
    for text, judgement in judged(job, shard, job.source, descriptions, report):
        yield _item(job, text, job.source, judgement, rows[text.image_id], report)
        yield from translated.get(text.text_id, ())


def _item(job: Job, text: Text, lang: Language, judgement: Judgement, row: dict[str, Any], report: LingReport) -> Item:
    """A record, or why there is none."""
    if no_record := rejected(text, lang, judgement, f"{text.text_id}, view {text.view}", report):
        return no_record
    source_id = text.source.text_id if text.source else None
    translator = job.models.translator
    made = {
        "view": text.view,
        SOURCE_TEXT_ID: source_id,
        **({ENGLISH_ID: source_id} if job.source.code == "en" else {}),
        "captioner": job.models.captioner.name,
        "translator": translator.name if translator and text.source else None,
    }
    return RawRecord(
        image_id=text.image_id,
        image=job.records.place_of(row["image"]),
        text=text.content,
        lang=lang.code,
        source=SOURCE,
        text_id=text.text_id,
        extras={**{name: value for name, value in row.items() if name != "image"}, **made, **score_columns(judgement)},
        where=text.text_id,
    )
