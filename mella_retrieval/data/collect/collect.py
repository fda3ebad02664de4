"""Collecting `know`: pages become candidates, filters take away, what is left becomes records.

The work stands in `<out>.work`: what was found and sifted of each part of the sources, and the pictures. A job that was killed
goes on after the last finished part, and gives the same bytes as one that was not. At the end `<out>` appears as a whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mella_retrieval.artifacts import (
    MANIFEST,
    Json,
    atomic_write,
    beside,
    fingerprint,
    library_versions,
    read_json,
    read_manifest,
    remove_leftovers,
    replace_folder,
    require_free,
    sha256_file,
    write_json,
    writer_lock,
)
from mella_retrieval.data.collect import report as reports
from mella_retrieval.data.collect.extracting import Extracted, csv_row, repeats_of
from mella_retrieval.data.collect.filters.step import Stage, Subject
from mella_retrieval.data.collect.judging import FilterCount, Judge, Judged
from mella_retrieval.data.collect.looking import Looking
from mella_retrieval.data.collect.recipe import KnowRecipe, Steps, make_steps
from mella_retrieval.data.collect.report import FOLDER, CollectReport
from mella_retrieval.data.collect.samples import sample_of, write_samples
from mella_retrieval.data.collect.sampling import KEPT, Drawn, Samples
from mella_retrieval.data.collect.shelf import Shelf
from mella_retrieval.data.collect.sifting import Sifted, draw
from mella_retrieval.data.collect.storing import Survivor
from mella_retrieval.data.collect.units import units_of
from mella_retrieval.data.records import KIND, VERSION, RawRecord
from mella_retrieval.data.web.fetching import PICTURES, Fetcher
from mella_retrieval.data.writing import Progress, write_records
from mella_retrieval.errors import ArtifactError, DataError

JOB, PLACED = "job.json", "placed.json"
SKIPPED_PAGES, NOTED_PAGES = "skipped_pages.csv", "noted_pages.csv"
_LIBRARIES = ("selectolax", "ftfy", "phonenumbers", "py3langid", "lingua-language-detector", "ImageHash", "datasketch")


def collect(
    sources: Sequence[Path | str],
    out: Path | str,
    recipe: KnowRecipe,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CollectReport:
    """Collect native texts of pictures into a records folder. Started again after it was killed, it goes on where it was.

    Beside the columns of every record there are `image_url`, `page_url`, `site`, `page_title`, `provenance` (joined by `|`),
    `licence`, `date`, `image_hash` (perceptual, hexadecimal) and the scores of the filters. Memory grows by about 850 bytes a
    kept record (near-duplicates are found among them) and 16 a candidate while repeats are counted.

    Args:
        sources: WARC files and folders of them, folders of HTML files, lists of addresses (`.txt`).
        out: the new records folder.
        recipe: the filters (`recipe.load_know`).
        overwrite: replace a records folder that is already there.
        progress: called with (candidates done, candidates; 0 while they are still being found).

    Raises:
        DataError: a source that cannot be read, or that `out` lies in; nothing is left, then the folder `collected` with report
            and samples stands in `<out>.work`.
        ConfigError: a filter that cannot work.
        ArtifactError: `out` exists or cannot be written.
        LockedError: another process is collecting into it.
        MissingDependencyError: the extra `data` is not installed.
    """
    out = Path(out).absolute()
    for source in map(Path, sources):
        if out.resolve().is_relative_to(source.resolve()):
            raise DataError(f"{out} lies within the source {source} and would become part of it; choose another folder.")
    with writer_lock(out):
        return _Job(sources, out, recipe).run(overwrite, progress)


class _Job:
    """One collection. The writer's lock is held."""

    def __init__(self, sources: Sequence[Path | str], out: Path, recipe: KnowRecipe) -> None:
        self._out, self._recipe = out, recipe
        self._work = beside(out, ".work")
        self._steps: Steps = make_steps(recipe)
        self._units = units_of(sources, recipe.base, self._work / "lists")
        self._extracted = [Extracted(self._work / "extracted", number) for number in range(len(self._units))]
        self._sifted = [Sifted(self._work / "sifted", number) for number in range(len(self._units))]
        self._recipe_and_libraries: Json = {
            "collect": recipe.model_dump(mode="json", exclude={"fetch"}),
            "libraries": library_versions(*_LIBRARIES),
        }
        parts = [unit.identity for unit in self._units]
        self._job = {"job": fingerprint({**self._recipe_and_libraries, "parts": parts})}

    def run(self, overwrite: bool, progress: Progress | None) -> CollectReport:
        if not self._is_placed():
            self._begin(overwrite)
            with Fetcher(self._recipe.fetch) as fetcher:
                self._extract(fetcher, progress)
            with Shelf(self._work) as shelf, Fetcher(self._recipe.fetch, PICTURES) as fetcher:
                looking = Looking(shelf, fetcher, web=self._recipe.pictures == "web")
                self._sift(looking, progress)
                self._write(shelf, looking)
            write_json(self._work / PLACED, {**self._job, "manifest": sha256_file(self._new / MANIFEST)})
            replace_folder(self._new, self._out)
        report = CollectReport.from_dict(read_json(self._out / FOLDER / reports.FILE))
        self._clear()
        for name in (JOB, PLACED):  # in this order: who finds the second alone knows that all is done
            (self._work / name).unlink(missing_ok=True)
        self._work.rmdir()
        return report

    @property
    def _new(self) -> Path:
        return self._work / "records"

    def _is_placed(self) -> bool:
        """Whether this job was killed after its records took their place."""
        placed, manifest = self._work / PLACED, self._out / MANIFEST
        if not placed.is_file() or not manifest.is_file():
            return False
        return bool(read_json(placed) == {**self._job, "manifest": sha256_file(manifest)})

    def _begin(self, overwrite: bool) -> None:
        """Make or find the work folder. The work of another job (other sources, recipe or libraries) is thrown away."""
        begun = (self._work / JOB).is_file()
        remove_leftovers(self._work, JOB)
        if self._work.exists() and not begun and any(self._work.iterdir()):
            raise ArtifactError(f"{self._work} is not the work folder of a collection: move it away, or choose another folder.")
        require_free(self._out, overwrite=overwrite)
        if self._out.is_dir() and any(self._out.iterdir()):
            read_manifest(self._out, KIND, VERSION)  # only records are ever replaced
        if not begun or read_json(self._work / JOB) != self._job:
            self._work.mkdir(parents=True, exist_ok=True)
            self._clear()
            write_json(self._work / JOB, self._job)
        for name in ("extracted", "sifted"):
            (self._work / name).mkdir(exist_ok=True)

    def _clear(self) -> None:
        """Remove all of the work but what tells whose it is."""
        for path in self._work.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in {JOB, PLACED}:
                path.unlink()

    def _extract(self, fetcher: Fetcher, progress: Progress | None) -> None:
        found = 0

        def count(more: int) -> None:
            nonlocal found
            found += more
            if progress is not None:
                progress(found, 0)

        for unit, extracted in zip(self._units, self._extracted, strict=True):
            if extracted.done:
                count(extracted.summary["candidates"])
            else:
                extracted.write(unit, fetcher, count)

    def _sift(self, looking: Looking, progress: Progress | None) -> None:
        totals = [extracted.summary["candidates"] for extracted in self._extracted]
        repeats = repeats_of(self._extracted)
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            if progress is not None:
                progress(done, sum(totals))

        for part, (unit, extracted, sifted, total) in enumerate(
            zip(self._units, self._extracted, self._sifted, totals, strict=True)
        ):
            if sifted.done:
                count(total)
                continue
            local = unit.pictures() if total else None
            samples = Samples(self._recipe.samples, self._recipe.seed, part)
            sifted.write(extracted.read(), self._steps, repeats, partial(looking.look, local=local), samples, count)

    def _write(self, shelf: Shelf, looking: Looking) -> None:
        """Third pass: what is left against what was kept before it, and the records."""
        summaries = [sifted.summary for sifted in self._sifted]
        samples = Samples(self._recipe.samples, self._recipe.seed)
        for summary in summaries:
            samples.add_all(map(Drawn.from_dict, summary["samples"]))
        judge = Judge(self._steps, Stage.KEPT)
        counts, notes, candidates = reports.add_summaries(extracted.summary for extracted in self._extracted)
        report = CollectReport(counts, notes, candidates)
        made_by = {**self._recipe_and_libraries, "sources": [unit.label for unit in self._units]}
        records = (self._record(survivor, shelf) for survivor in self._kept(judge, samples))
        try:
            written = write_records(self._new, records, made_by=made_by, overwrite=True)
        except DataError as error:
            report.filters = self._counts(summaries, judge)
            if refused := report.candidates - report.removed:
                report.rejected = {"cannot be a record": refused}
            self._write_aside(self._work / FOLDER, report, samples, looking)
            raise DataError(
                f"{reports.nothing_left(report, str(error))} The report, samples and the pages that could not be read are in "
                f"{self._work / FOLDER}. To begin anew with the same sources and recipe, remove {self._work}."
            ) from None
        report.filters = self._counts(summaries, judge)
        report.kept, report.rejected, report.languages = written.kept, written.rejected, written.counts["languages"]
        report.notes |= written.warnings
        self._write_aside(self._new / FOLDER, report, samples, looking)

    def _kept(self, judge: Judge, samples: Samples) -> Iterator[Survivor]:
        """What no filter removes, in order."""
        for samples.part, sifted in enumerate(self._sifted):
            for survivor in sifted.survivors():
                subject = Subject(survivor.candidate, lang=survivor.lang, picture=survivor.picture)
                judged = judge.judge(Judged(subject, dict(survivor.scores)))
                draw(samples, judged, judged.reason or KEPT)
                if not judged.reason:
                    yield replace(survivor, scores=judged.scores)

    def _record(self, survivor: Survivor, shelf: Shelf) -> RawRecord:
        candidate, picture = survivor.candidate, survivor.picture
        extras = {
            "image_url": candidate.image,
            "page_url": candidate.page,
            "site": candidate.site,
            "page_title": candidate.page_title,
            "provenance": "|".join(candidate.provenance),
            "licence": candidate.licence,
            "date": candidate.date,
            "image_hash": f"{picture.hash:016x}",
        }
        return RawRecord(
            image_id=picture.digest[:32],
            image=shelf.read(picture),
            text=candidate.text,
            lang=survivor.lang,
            source=self._recipe.source,
            extras={**extras, **survivor.scores},
            where=candidate.where,
        )

    def _counts(self, summaries: Sequence[Json], judge: Judge) -> list[FilterCount]:
        several = [*(summary["filters"] for summary in summaries), [vars(count) for count in judge.counts.values()]]
        return reports.add_filters((name for name, _ in self._steps), several)

    def _write_aside(self, folder: Path, report: CollectReport, samples: Samples, looking: Looking) -> None:
        """The folder `collected`: report, samples, the pages that could not be read and some of those with notes."""
        drawn = samples.all()
        pictures = [looking.at_hand(one.candidate.image, self._units[one.part].pictures()) for one in drawn]
        write_samples(folder, map(sample_of, drawn, pictures))
        with atomic_write(folder / SKIPPED_PAGES) as file:
            file.write(b"where,reason,excerpt\n")
            for extracted in self._extracted:
                file.write(extracted.skipped.read_bytes())
        with atomic_write(folder / NOTED_PAGES) as file:
            file.write(b"note,where,page,detail\n")
            for row in reports.first_rows(extracted.summary["noted"] for extracted in self._extracted):
                file.write(csv_row(*row))
        write_json(folder / reports.FILE, report.as_dict())
