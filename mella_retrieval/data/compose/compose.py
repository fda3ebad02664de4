"""Several records folders become one: mixed, balanced and split without leakage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.artifacts import Json, require_free
from mella_retrieval.data.compose.against import Against
from mella_retrieval.data.compose.fate import NOT_DRAWN, judge
from mella_retrieval.data.compose.grouping import group_records, near_candidates, text_groups
from mella_retrieval.data.compose.identity import Images, identify
from mella_retrieval.data.compose.mixing import count_units, draw, targets
from mella_retrieval.data.compose.recipe import ComposeRecipe
from mella_retrieval.data.compose.report import Outcome, describe
from mella_retrieval.data.compose.rewriting import Rewriting
from mella_retrieval.data.compose.sources import Source, common_root, first_rows, open_sources, rows_again
from mella_retrieval.data.compose.splits import assign, split_sizes
from mella_retrieval.data.compose.survey import NONE, Survey, read_sources
from mella_retrieval.data.near.bands import first_holders
from mella_retrieval.data.near.shingles import normal_form
from mella_retrieval.data.records import Records
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import ImportReport, Progress, write_records
from mella_retrieval.errors import DataError


@dataclass(frozen=True)
class Composed:
    """What came out: `report` is what the manifest holds under `made_by.report` (see `report.describe`)."""

    report: Json
    written: ImportReport


def compose(
    out: Path | str,
    recipe: ComposeRecipe,
    *,
    overwrite: bool = False,
    workers: int = 4,
    progress: Progress | None = None,
) -> Composed:
    """Mix, balance and split the sources of `recipe` into the records folder `out`, with the column `split`.

    The sources are read as streams, up to four times. In memory stay about 110 bytes a record, and as many a different text
    where near-equal ones are looked for; at its peak a step takes a few times that. The same recipe on the same sources gives
    the same bytes.

    Args:
        out: the new folder.
        recipe: what is wanted.
        overwrite: replace a records folder that is there.
        workers: threads that read pictures.
        progress: called with (records read, all records), in the first reading and in the last.

    Raises:
        DataError: nothing is left of the sources, or the splits ask for all there is.
        ArtifactError: a source is no records folder, or `out` cannot be written.
        MissingDependencyError: near-duplicates are wanted, and the packages for them are not installed.
    """
    out = Path(out)
    require_free(out, overwrite=overwrite)
    sources = open_sources(recipe)
    sets = [Records.load(path) for path in recipe.disjoint_from]
    _refuse_own_sources(out, [source.records for source in sources] + sets)
    same = recipe.duplicates
    against = Against(sets, same.images, same.texts, workers)
    survey = read_sources(sources, same.images, same.texts, against, workers, progress)
    images = identify(survey, same.images)
    outcome = _decide(recipe, sources, survey, images, against)
    report = describe(recipe, survey, outcome, against.notes)
    writing = Rewriting(sources, survey, images, outcome, against, _places(sources, survey, images), common_root(sources))
    made_by = {
        "compose": recipe.model_dump(mode="json"),
        "sources": {source.name: source.records.fingerprint for source in sources},
        "disjoint_from": {str(records.folder): records.fingerprint for records in sets},
        "report": report,
    }
    written = write_records(
        out,
        writing.items(report["notes"]),
        options=ImportOptions(duplicates="keep", control_characters="keep", text_only=True, copy_images=recipe.copy_images),
        image_root=common_root(sources),
        made_by=made_by,
        overwrite=overwrite,
        progress=(lambda read, _: progress(read, len(survey))) if progress is not None else None,
    )
    return Composed(report, written)


def _refuse_own_sources(out: Path, inputs: Sequence[Records]) -> None:
    """Replacing a folder that is being read would destroy it."""
    target = out.resolve()
    for records in inputs:
        folder = records.folder.resolve()
        if target == folder or target in folder.parents:
            raise DataError(f"the records folder {out} would replace its own source {records.folder}; choose another folder.")


def _decide(recipe: ComposeRecipe, sources: Sequence[Source], survey: Survey, images: Images, against: Against) -> Outcome:
    fates, same = judge(survey, images, against), recipe.duplicates
    texts = survey.text != NONE
    if not (fates.kept & texts).any():
        raise DataError("nothing is left: every text meets one of the sets in disjoint_from, or there is none.")
    drawing, splitting = (np.random.default_rng(seed) for seed in np.random.SeedSequence(recipe.seed).spawn(2))
    rows = np.flatnonzero(fates.kept & texts)  # pictures alone are not mixed: all of them are kept
    shape, once = (len(survey.names), len(survey.langs)), recipe.count == "pictures"
    cells = survey.source.astype(np.int64) * shape[1] + survey.lang
    weights = [source.weight for source in recipe.sources.values() if source.weight is not None] or None
    wanted = targets(count_units(cells[rows], images.of_record[rows], shape, once), weights, recipe.languages, recipe.size)
    chosen = draw(cells[rows], images.of_record[rows], wanted.taken, once, drawing)
    fates.code[rows[~chosen]] = NOT_DRAWN
    same_text = _text_groups(sources, survey, same.texts) if same.texts is not None else None
    groups = group_records(survey, images, same_text, same.images, same.stock, fates.kept)
    kept = np.flatnonzero(fates.kept)
    sizes = split_sizes(len(kept), recipe.splits)
    split = np.zeros(len(survey), dtype=np.uint8)
    split[kept] = assign(groups.of_record[kept], cells[kept], sizes, splitting)
    renamed_texts = first_holders(survey.text_id[kept])[1]
    return Outcome(fates, wanted, groups, split, sizes, int((images.turn > 0).sum()), len(renamed_texts))


def _text_groups(sources: Sequence[Source], survey: Survey, similarity: float) -> NDArray[np.int64]:
    wanted = near_candidates(survey)
    texts = {
        int(survey.text[number]): normal_form(row["text"])
        for number, _, row in rows_again(sources, first_rows(survey.text, wanted), ["text"])
    }
    return text_groups(survey, similarity, texts)


def _places(sources: Sequence[Source], survey: Survey, images: Images) -> dict[int, str]:
    """Image -> place of the picture that stands for it, where it has several."""
    several = np.bincount(images.of_picture, minlength=len(images)) > 1
    wanted = np.zeros(len(images.of_picture), dtype=bool)
    wanted[images.shown[several]] = True
    return {
        int(images.of_record[number]): records.place_of(row["image"])
        for number, records, row in rows_again(sources, first_rows(survey.picture, wanted), ["image"])
    }
