"""What becomes of judged texts: each is kept, or counted and listed with what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mella_retrieval.artifacts import read_manifest, remove_leftovers, require_free, writer_lock
from mella_retrieval.data.ling.checks import CHECKS
from mella_retrieval.data.ling.judging import Judgement
from mella_retrieval.data.ling.recipe import Checks
from mella_retrieval.data.ling.report import LEFT_OUT, CheckedTexts, Texts
from mella_retrieval.data.ling.translating import Text, TextJob
from mella_retrieval.data.records import KIND, VERSION, Records, Rejected, Where
from mella_retrieval.data.text import excerpt
from mella_retrieval.errors import DataError
from mella_retrieval.languages import Language

Plain = dict[str, list[object]]


@contextmanager
def writing(records: Records, out: Path, *, overwrite: bool) -> Iterator[None]:
    """Hold the right to make records from records; what can be known to fail fails before the long work.

    Raises:
        DataError: `out` would replace the records or their pictures.
        ArtifactError, LockedError: `out` is there already, is no records folder, or is being written.
    """
    if out.resolve() in {place for own in (records.folder.resolve(), records.image_root) for place in (own, *own.parents)}:
        raise DataError(f"{out} would replace the records or pictures that it is made from; choose another folder.")
    require_free(out, overwrite=overwrite)
    if out.is_dir() and any(out.iterdir()):
        read_manifest(out, KIND, VERSION)  # nothing else will be replaced
    with writer_lock(out):
        remove_leftovers(out.parent, out.name)
        yield


def plain(where: Where | None) -> Plain:
    """A filter as manifests and keys hold it."""
    several = (list, tuple, set, frozenset)
    return {name: sorted(value) if isinstance(value, several) else [value] for name, value in (where or {}).items()}


def begin(report: CheckedTexts, job: TextJob, langs: Sequence[Language], checks: Checks) -> None:
    """Note in a report the languages that are judged, and what is not checked in them."""
    tools = job.questions.tools
    report.texts = {lang.code: Texts() for lang in langs}
    report.unchecked = {check.name: why for check in checks.chosen() if (why := check.missing(tools))}
    report.unchecked |= {name: LEFT_OUT for name in CHECKS if getattr(checks, name) is None}
    identifier = tools.identifier
    if identifier and (unknown := [code for code in report.texts if not identifier.knows(code)]):
        report.unchecked.setdefault("language", f"it cannot be told for {', '.join(unknown)}")


def judged(
    job: TextJob, shard: int, lang: Language, texts: Sequence[Text], report: CheckedTexts
) -> Iterator[tuple[Text, Judgement]]:
    """Texts of a shard in a language with their judgements, counted."""
    report.looked_at.update({check.name: len(texts) for check in job.checks(lang)})
    report.texts[lang.code].asked += len(texts)
    yield from zip(texts, job.judgements(shard, lang, texts), strict=True)


def rejected(text: Text, lang: Language, judgement: Judgement, where: str, report: CheckedTexts) -> Rejected | None:
    """Count a text as kept or as rejected; of the second the line for `skipped.csv`."""
    if not judgement.problems:
        report.texts[lang.code].kept += 1
        return None
    report.reject(lang.code, text.content, judgement.reason)
    kind = "translation" if text.source else "description"
    return Rejected(where, f"{kind} {judgement.reason}", excerpt(text.content))


def without_translation(text_id: str, lang: Language, reason: str, report: CheckedTexts) -> Rejected:
    """Count a text that has no translation."""
    counts = report.texts[lang.code]
    counts.asked, counts.failed = counts.asked + 1, counts.failed + 1
    return Rejected(f"{text_id}, {lang.code}", reason)


def score_columns(judgement: Judgement) -> dict[str, float]:
    """The scores of the checks as columns of a record."""
    return {f"{SCORE}{name}": value for name, value in judgement.scores.items()}


SCORE = "check_"
"""Beginning of the names of these columns."""
