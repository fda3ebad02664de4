"""Published numbers of a task: facts with their sources, kept apart by protocol because protocols do not compare.

`benchmarks/published/<name>.csv` has one row per protocol, model and language, in percent, as printed;
`<name>-models.csv` says where each model's rows come from. A `language` such as `mean(cs,fi)` is a mean that was
published without its parts. A last column `sum_r`, where a table has it, is the sum of the six recalls.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mella_retrieval.benchmarks.metrics import BOTH, CUTOFFS, DIRECTIONS, SUM_RECALL
from mella_retrieval.benchmarks.tasks import Task, list_tasks
from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import recipe_root


@dataclass(frozen=True)
class Published:
    """A published number, as a fraction; `comparable` if it was measured on the same test set by the protocol asked for."""

    model: str
    protocol: str
    language: str
    direction: str
    metric: str
    value: float
    source: str
    note: str
    comparable: bool


def read_published(task: Task, protocol: str, folder: Path | None = None) -> list[Published]:
    """All published numbers of a task, those measured by `protocol` marked comparable; empty where the task has none.

    To a task that is not the one these numbers come with (a copy of its recipe with other counts) none is comparable.

    Args:
        task: the task.
        protocol: the protocol they will stand beside.
        folder: where the tables are; by default those that come with the package.

    Raises:
        ConfigError: a table is missing, or holds something else than a number where one belongs.
    """
    if task.published is None:
        return []
    same = _is_theirs(task)
    folder = folder or recipe_root() / "benchmarks" / "published"
    models = {(row["protocol"], row["model"]): row for row in _rows(folder / f"{task.published}-models.csv")}
    found = []
    for line, row in enumerate(_rows(folder / f"{task.published}.csv"), start=2):
        where = f"{task.published}.csv, line {line}"
        model = models.get((row["protocol"], row["model"]))
        if model is None:
            raise ConfigError(f"{where}: the model {row['model']!r} has no source in {task.published}-models.csv.")
        for direction, metric, value in _values(row, where):
            found.append(
                Published(
                    model=row["model"],
                    protocol=row["protocol"],
                    language=row["language"],
                    direction=direction,
                    metric=metric,
                    value=value,
                    source=model["source"],
                    note=model["note"] if same else "; ".join(filter(None, ["on another test set", model["note"]])),
                    comparable=row["protocol"] == protocol and same,
                )
            )
    return found


def _is_theirs(task: Task) -> bool:
    """Whether a task is the test set that its published numbers were measured on: as large as that of a shipped recipe."""
    shipped = [one for one in list_tasks() if one.published == task.published]
    return any((one.images, one.captions, one.gallery) == (task.images, task.captions, task.gallery) for one in shipped)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise ConfigError(f"the published numbers {path} cannot be read: {error.strerror}.") from None


def _values(row: Mapping[str, str], where: str) -> Iterator[tuple[str, str, float]]:
    cells = [(direction, f"R@{k}", row[f"{direction}_r{k}"]) for direction in DIRECTIONS for k in CUTOFFS]
    for direction, metric, text in [*cells, (BOTH, SUM_RECALL, row.get("sum_r", ""))]:
        if not text:
            continue
        try:
            yield direction, metric, round(float(text) / 100, 6)
        except ValueError:
            raise ConfigError(f"{where}: {text!r} is not a number.") from None
