"""The result of a benchmark: every number with what must be known to believe it, compare it and get it again.

On disk a folder of kind `result`: `results.json` (all of it but the ranks), `results.csv` (the scores in long form),
`ranks.parquet` (where the relevant items of every query stand, so that results can be compared later by a paired test)
and the manifest with their hashes. Reports are written beside them.
"""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from mella_retrieval.artifacts import (
    MANIFEST,
    atomic_write,
    describe_file,
    read_json,
    read_manifest,
    verify_file,
    write_json,
    write_manifest,
)
from mella_retrieval.benchmarks.evaluation import RankedQueries
from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.benchmarks.protocols import TIE_RULE
from mella_retrieval.benchmarks.scores import Score
from mella_retrieval.benchmarks.statistics import Bootstrap
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.errors import ArtifactError, ConfigError, DataError
from mella_retrieval.recipes import Strict, build_config

KIND = "result"
FORMAT_VERSION = 2

RESULTS_JSON, RESULTS_CSV, RANKS = "results.json", "results.csv", "ranks.parquet"

_LIBRARIES = (
    "mella-retrieval", "numpy", "torch", "transformers", "open_clip_torch", "sentence-transformers", "faiss-cpu", "faiss-gpu",
    "pyarrow", "pillow", "safetensors",
)  # fmt: skip


class SystemInfo(Strict):
    """One row of a result: what was measured.

    Attributes:
        name: unique in the result.
        role: the system itself, one of the floors and ceilings beside it, a further baseline, or the system through an index.
        description: one line.
        image_tower: the tower's description with weights and preparation; none for chance.
        text_tower: the same for the texts.
        adapter: method, configuration and fingerprint of the adapter, if there is one.
        text_preparation: what happens to a caption before the tower reads it.
        normalisation: of vectors before they are compared.
        precision: of the towers.
        fingerprints: of the artifacts used (embedding sets, adapter, index).
        truncated: share of captions that the text tower cut, by language.
        missing: by language why there are no numbers.
    """

    name: str
    role: Literal["system", "chance", "shuffled", "english", "baseline", "index"]
    description: str = ""
    image_tower: dict[str, Any] | None = None
    text_tower: dict[str, Any] | None = None
    adapter: dict[str, Any] | None = None
    text_preparation: dict[str, Any] | None = None
    normalisation: str = "L2, in float64, stored as float32"
    precision: str | None = None
    fingerprints: dict[str, str] = Field(default_factory=dict)
    truncated: dict[str, float] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)


class Data(Strict):
    """What was asked.

    Attributes:
        images: size of the gallery of text -> image.
        languages: those that were asked.
        queries: number of queries by language and direction; those of text -> image are the gallery of image -> text.
        fingerprints: of the gallery (`images`) and of each language's captions.
        revision: of the data as it was loaded, or `unverified`.
        checksum: of the data as it was loaded, or `unverified`.
    """

    images: int
    languages: tuple[str, ...]
    queries: dict[str, dict[str, int]]
    fingerprints: dict[str, str]
    revision: str
    checksum: str


class Provenance(Strict):
    """How to get the result again.

    Attributes:
        commands: command lines, in order.
        seeds: by what they seeded.
        hashes: of inputs, code and recipes.
        versions: of Python and the libraries.
        machine: processor architecture and system.
    """

    commands: tuple[str, ...] = ()
    seeds: dict[str, int] = Field(default_factory=dict)
    hashes: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    machine: str = ""


class Record(Strict):
    """The content of `results.json`."""

    task: Task
    protocol: str
    protocol_description: str
    tie_rule: str = TIE_RULE
    data: Data
    bootstrap: Bootstrap
    systems: tuple[SystemInfo, ...]
    scores: tuple[Score, ...]
    provenance: Provenance
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """A record and the ranks behind it."""

    record: Record
    ranks: tuple[RankedQueries, ...]

    def __post_init__(self) -> None:
        names = [system.name for system in self.record.systems]
        strange = {score.system for score in self.record.scores} | {cell.system for cell in self.ranks}
        if len(set(names)) != len(names) or not strange <= set(names):
            raise DataError(f"scores and ranks need one description per system; described: {names}, found: {sorted(strange)}.")

    def score(self, system: str, language: str, direction: str, metric: str, subset: str = "") -> Score:
        """One score.

        Raises:
            DataError: the result has no such score.
        """
        for score in self.record.scores:
            if (score.system, score.language, score.direction, score.metric, score.subset) == (
                system,
                language,
                direction,
                metric,
                subset,
            ):
                return score
        raise DataError(f"this result has no {metric} of {system!r} in {language}, {direction}{subset and ', ' + subset}.")

    def save(self, folder: Path | str) -> None:
        """Write the result into `folder` (made if absent), replacing one that is there.

        The manifest goes first and comes back last, so that a folder that was cut short is not taken for a result.
        """
        folder = Path(folder)
        (folder / MANIFEST).unlink(missing_ok=True)
        write_json(folder / RESULTS_JSON, self.record.model_dump(mode="json"))
        with atomic_write(folder / RESULTS_CSV) as file:
            file.write(_csv(self.record.scores).encode())
        with atomic_write(folder / RANKS) as file:
            pq.write_table(_table(self.ranks), file, compression="zstd")
        files = {name: describe_file(folder / name) for name in (RESULTS_JSON, RESULTS_CSV, RANKS)}
        about = {"task": self.record.task.name, "protocol": self.record.protocol}
        write_manifest(folder, KIND, FORMAT_VERSION, {**about, "files": files})

    @classmethod
    def load(cls, folder: Path | str) -> Result:
        """Read a result.

        Raises:
            ArtifactError: no result folder, or a file of it is missing, cut short or changed.
        """
        folder = Path(folder)
        manifest = read_manifest(folder, KIND, FORMAT_VERSION)
        for name, expected in manifest["files"].items():
            verify_file(folder / name, expected, deep=True)
        try:
            record = build_config(Record, read_json(folder / RESULTS_JSON), str(folder / RESULTS_JSON))
        except ConfigError as error:
            raise ArtifactError(f"this installation cannot read the result: {error}") from None
        return cls(record, _cells(pq.read_table(folder / RANKS)))


def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that can change a number."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """System and processor architecture, such as `Linux x86_64`."""
    return f"{platform.system()} {platform.machine()}"


def _csv(scores: Sequence[Score]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(Score.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(score.model_dump() for score in scores)
    return text.getvalue()


def _table(cells: Sequence[RankedQueries]) -> pa.Table:
    lengths = [len(cell.positions) for cell in cells]

    def repeated(values: Sequence[str]) -> pa.Array:
        return pa.array(np.repeat(np.array(values, dtype=object), lengths), pa.string()).dictionary_encode()

    return pa.table(
        {
            "system": repeated([cell.system for cell in cells]),
            "lang": repeated([cell.language for cell in cells]),
            "direction": repeated([cell.direction for cell in cells]),
            "query_id": pa.array([query for cell in cells for query in cell.query_id], pa.string()),
            "image_id": pa.array([image for cell in cells for image in cell.image_id], pa.string()),
            "positions": _lists([cell.positions for cell in cells]),
            "subset": repeated([cell.subset for cell in cells]),
        }
    )


def _lists(positions: Sequence[Positions]) -> pa.Array:
    """One list of positions per query."""
    counts = [found.counts for found in positions]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]) if counts else [0]
    values = np.concatenate([found.values for found in positions]) if positions else np.zeros(0, np.int64)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))


def _cells(table: pa.Table) -> tuple[RankedQueries, ...]:
    lists = table.column("positions").combine_chunks()
    everything = Positions(np.asarray(lists.flatten(), np.int64), np.asarray(lists.value_lengths(), np.int64))
    columns: Mapping[str, list[Any]] = {
        name: table.column(name).to_pylist() for name in ("system", "lang", "direction", "subset", "query_id", "image_id")
    }
    keys = list(zip(columns["system"], columns["lang"], columns["direction"], columns["subset"], strict=True))
    starts = [row for row in range(len(keys)) if row == 0 or keys[row] != keys[row - 1]]
    cells = []
    for start, stop in zip(starts, [*starts[1:], len(keys)], strict=True):
        system, language, direction, subset = keys[start]
        query_id, image_id = (tuple(columns[name][start:stop]) for name in ("query_id", "image_id"))
        positions = everything.take(np.arange(start, stop))
        cells.append(RankedQueries(system, language, direction, query_id, image_id, positions, subset))
    return tuple(cells)
