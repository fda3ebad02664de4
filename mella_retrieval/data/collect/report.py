"""What a collection did, in numbers that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from mella_retrieval.artifacts import Json, read_json
from mella_retrieval.data.collect.judging import FilterCount
from mella_retrieval.data.collect.pages import PAGE
from mella_retrieval.errors import ArtifactError

FOLDER, FILE = "collected", "report.json"
NOTED = 100
"""Pages that are named for each note, of a part and of a job."""
_REJECTED = "rejected: "


@dataclass
class CollectReport:
    """What a collection did: `candidates` = `kept` + all that the filters removed + all of `rejected`.

    Attributes:
        counts: of the sources: `pages`, `pictures` beside them, `skipped: ...`, `rejected: ...`.
        notes: on pages, sources and the records -> how often.
        candidates: texts of pictures that the pages have.
        filters: what each did, in the order of work.
        kept: records written.
        rejected: reason -> candidates that passed the filters and cannot be records.
        languages: code -> records.
    """

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
        return self.counts.get(PAGE, 0)

    @property
    def removed(self) -> int:
        """Candidates that the filters removed."""
        return sum(count.removed for count in self.filters)

    def as_dict(self) -> Json:
        """JSON-able form."""
        return {**vars(self), "filters": [vars(count) for count in self.filters]}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> CollectReport:
        """From its JSON."""
        return cls(**{**value, "filters": [FilterCount(**count) for count in value["filters"]]})


def read_report(records: Path) -> CollectReport | None:
    """The report of a collected records folder; None if it was not collected.

    Raises:
        ArtifactError: it is damaged.
    """
    path = records / FOLDER / FILE
    try:
        return CollectReport.from_dict(read_json(path)) if path.is_file() else None
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


def first_rows(several: Iterable[Iterable[Sequence[str]]], most: int = NOTED) -> Iterator[Sequence[str]]:
    """Of rows that begin with a note, the first `most` of each note."""
    seen = Counter[str]()
    for row in chain.from_iterable(several):
        seen[row[0]] += 1
        if seen[row[0]] <= most:
            yield row


def nothing_left(report: CollectReport, problem: str) -> str:
    """What to say where no candidate became a record.

    Args:
        report: with the counts of the sources and of the filters.
        problem: what the records refused, where candidates passed the filters.
    """
    parts = {name: count for name, count in report.counts.items() if name != PAGE}
    unread = {name.partition(": ")[2]: count for name, count in parts.items() if name.startswith(_REJECTED)}
    others = {name.removeprefix("skipped: "): count for name, count in parts.items() if not name.startswith(_REJECTED)}
    said = [_what_became(report), problem if report.removed < report.candidates else "Nothing was written."]
    if unread:
        said.append(f"{number_of(sum(unread.values()), 'page')} could not be read: {_listed(unread)}.")
    if others and not report.pages:
        said.append(f"Beside pages there are: {_listed(others)}.")
    return " ".join(said)


def number_of(count: int, noun: str) -> str:
    """`1 page`, `2,000 pages`."""
    return f"{count:,} {plural(count, noun)}"


def plural(count: int, noun: str) -> str:
    """`page` of one, else `pages`."""
    return noun if count == 1 else f"{noun}s"


def _what_became(report: CollectReport) -> str:
    if report.candidates:
        removed = _listed({count.name: count.removed for count in report.filters if count.removed})
        some = report.candidates > 1
        head = f"not one of {report.candidates:,} candidates is left" if some else "the only candidate is not left"
        return f"{head}: {removed or 'no filter removed any'}."
    if report.pages:
        head = f"not one of {report.pages:,} pages has" if report.pages > 1 else "the only page has not"
        return f"{head} a text for a picture."
    return "there is no page in the sources that can be read."


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
