"""Ranking through an index beside exact ranking: what approximation costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mella_retrieval.benchmarks.metrics import SEARCH_RECALL
from mella_retrieval.benchmarks.report.naming import main_system
from mella_retrieval.benchmarks.results import Record, SystemInfo


@dataclass(frozen=True)
class Line:
    """One row: exact, through the index and what was lost, by direction and metric; empty where a number is missing.

    `searched` is by direction the share of the ten best items that the index finds.
    """

    row: str
    is_mean: bool
    numbers: tuple[tuple[float | None, float | None, float | None], ...]
    searched: tuple[float | None, ...]


@dataclass(frozen=True)
class Through:
    """A system that answers through an index, beside the exact ranking of the same vectors.

    Attributes:
        system: the one through the index.
        exact: name of the exact one.
        keys: directions and metrics, the columns.
        lines: the rows, means first.
    """

    system: SystemInfo
    exact: str
    keys: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]

    @property
    def searched(self) -> bool:
        """Whether it is known how many of the best items the index finds."""
        return any(share is not None for line in self.lines for share in line.searched)


def through_indexes(record: Record, directions: Sequence[str], metrics: Sequence[str]) -> list[Through]:
    """One for each system of the role `index`; its exact counterpart is the system that its name begins with."""
    values = {(s.system, s.language, s.direction, s.metric): s.value for s in record.scores if s.subset == ""}
    rows = dict.fromkeys(score.language for score in record.scores if score.subset == "")
    means = [row for row in rows if row not in record.data.languages]
    found = []
    for system in record.systems:
        if system.role != "index":
            continue
        exact = _exact(record, system)
        wanted = [(way, metric) for way in directions for metric in metrics]
        keys = tuple(key for key in wanted if any(values.get((system.name, row, *key)) is not None for row in rows))
        lines = []
        for row in (*means, *(row for row in rows if row not in means)):
            pairs = [(values.get((exact, row, *key)), values.get((system.name, row, *key))) for key in keys]
            numbers = tuple((a, b, None if a is None or b is None else a - b) for a, b in pairs)
            searched = tuple(values.get((system.name, row, way, SEARCH_RECALL)) for way in directions)
            lines.append(Line(row, row in means, numbers, searched))
        found.append(Through(system, exact, keys, tuple(lines)))
    return found


def _exact(record: Record, system: SystemInfo) -> str:
    names = [other.name for other in record.systems if system.name.startswith(f"{other.name} ") and other.role != "index"]
    return max(names, key=len, default=main_system(record).name)
