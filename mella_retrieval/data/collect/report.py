"""What a collection did, in numbers that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mella_retrieval.artifacts import Json, read_json
from mella_retrieval.data.collect.judging import FilterCount
from mella_retrieval.errors import ArtifactError

FOLDER, FILE = "collected", "report.json"


@dataclass
class CollectReport:
    """What a collection did: `candidates` = `kept` + all that the filters removed + all of `rejected`.

    Attributes:
        folder: the records folder.
        counts: of the sources: `pages`, `pictures` beside them, `skipped: ...`, `rejected: ...`.
        notes: on pages, sources and the records -> how often.
        candidates: texts of pictures that the pages have.
        filters: what each did, in the order of work.
        kept: records written.
        rejected: reason -> candidates that passed the filters and cannot be records.
        languages: code -> records.
    """

    folder: Path
    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    candidates: int = 0
    filters: list[FilterCount] = field(default_factory=list)
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)

    @property
    def pages(self) -> int:
        """Pages that were read."""
        return self.counts.get("pages", 0)

    def as_dict(self) -> Json:
        """JSON-able form; without the folder, so that equal jobs give equal reports."""
        plain = {name: value for name, value in vars(self).items() if name != "folder"}
        return {**plain, "filters": [vars(count) for count in self.filters]}

    @classmethod
    def from_dict(cls, folder: Path, value: Mapping[str, Any]) -> CollectReport:
        """From its JSON."""
        return cls(**{**value, "folder": folder, "filters": [FilterCount(**count) for count in value["filters"]]})


def read_report(records: Path) -> CollectReport | None:
    """The report of a collected records folder; None if it was not collected.

    Raises:
        ArtifactError: it is damaged.
    """
    path = records / FOLDER / FILE
    try:
        return CollectReport.from_dict(records, read_json(path)) if path.is_file() else None
    except (TypeError, KeyError, AttributeError) as error:
        raise ArtifactError(f"{path} is not the report of a collection: {error!r}.") from None


def add_filters(names: Iterable[str], several: Iterable[Iterable[Mapping[str, Any]]]) -> list[FilterCount]:
    """The counts of all parts of a job, by filter in the order of `names`; the example is the first."""
    total = {name: FilterCount(name) for name in names}
    for counts in several:
        for count in counts:
            found = total[count["name"]]
            found.looked_at += count["looked_at"]
            found.removed += count["removed"]
            found.example = found.example or count["example"]
    return list(total.values())


def add_summaries(summaries: Iterable[Json]) -> tuple[dict[str, int], dict[str, int], int]:
    """Counts, notes and candidates of all parts of a job."""
    counts, notes, candidates = Counter[str](), Counter[str](), 0
    for summary in summaries:
        counts.update(summary["counts"])
        notes.update(summary["notes"])
        candidates += summary["candidates"]
    return dict(sorted(counts.items())), dict(sorted(notes.items())), candidates


def nothing_left(report: CollectReport, problem: str) -> str:
    """What to say where no candidate became a record."""
    if not report.candidates:
        pages = ", ".join(f"{count} {name}" for name, count in report.counts.items()) or "nothing"
        return f"no page has a text for a picture; the sources have: {pages}. Nothing was written."
    removed = ", ".join(f"{count.name} {count.removed}" for count in report.filters if count.removed)
    return f"not one of {report.candidates} candidates is left; removed by {removed or 'no filter'}. {problem}"
