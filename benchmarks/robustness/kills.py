"""Writers of an index are killed at random moments; after each kill the index has to be the old or the new one.

    python benchmarks/robustness/kills.py                     # 200 kills, some ten minutes
    python benchmarks/robustness/kills.py --kills 24 --seed 7

Each of the jobs - build, build anew over an old index, add (some ids replaced), delete, compact, merge - runs in a process of
its own on a small index of several segments and with deleted items, flat, HNSW, IVF and IVF with 8-bit codes (whose vectors
lie beside them). The process gets SIGKILL at a moment drawn evenly from the time that the job takes undisturbed; a process
that ended before its moment does not count and is started again. Then, in another process:

- the index opens and `verify()` finds nothing;
- ids, records and vectors, bit by bit, are those of the old state or those of the new one: nothing lost, nothing doubled;
- every id is found by name, and searches bring items of that state, each once, with the scores that their vectors give, and
  where the search is exact the best ones;
- the job, run again, reaches the new state, and no file lies there that the index does not name.

"leftovers" counts kills after which unfinished or outdated files lay on the disk: that many struck in the middle of writing.
The exit code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from states import State, state

from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes import build, compact
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.kinds import new_index
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.merge import merge_indexes
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.update import add_to_index, delete_from_index
from mella_retrieval.indexes.writing import Resources

KINDS = {
    "flat": IndexRecipe(factory="Flat"),
    "HNSW": IndexRecipe(factory="HNSW16", search={"efSearch": 64}),
    "IVF": IndexRecipe(factory="IVF16,Flat", search={"nprobe": 16}),
    "IVF SQ8": IndexRecipe(factory="IVF16,SQ8", search={"nprobe": 16}, store="float16", rerank=8),
}
BLOCK = 512
"""Vectors that are read at a time, in place of thousands: a small index is then written as a large one is."""

LIMIT = 300
"""Seconds after which a process counts as hung."""


@dataclass
class Place:
    """Folders of one kind of index.

    Attributes:
        sets: the embedding sets, shared by all.
        others: indexes of this kind to merge with.
        recipe: of the kind.
        memory: bytes to write in, so little that several segments are needed.
    """

    sets: Path
    others: Path
    recipe: IndexRecipe
    memory: int

    def ids(self) -> list[str]:
        """All ids of all sets."""
        return [key for folder in sorted(self.sets.glob("*/")) for key in EmbeddingSet.load(folder).table["id"].to_pylist()]

    def embeddings(self, name: str) -> EmbeddingSet:
        """One of the embedding sets."""
        return EmbeddingSet.load(self.sets / name)


# The jobs: each can be run again, whether it was done or not ------------------------------------------------------------


def build_anew(place: Place, folder: Path) -> None:
    """Build an index, over another one if there is one."""
    build.build_index(place.embeddings("new"), folder, place.recipe, resources=Resources(memory=place.memory), overwrite=True)


def add(place: Place, folder: Path) -> None:
    """Add items, some of them with ids that are there already."""
    add_to_index(folder, place.embeddings("more"), replace=True, resources=Resources(memory=place.memory))


def delete(place: Place, folder: Path) -> None:
    """Delete every third item."""
    ids = place.embeddings("base").table["id"].to_pylist()
    delete_from_index(folder, ids[1::3], missing_ok=True)


def compacted(place: Place, folder: Path) -> None:
    """Drop what was deleted, in fewer segments."""
    compact.compact_index(folder, resources=Resources(memory=place.memory))


def merge(place: Place, folder: Path) -> None:
    """Take over the items of two other indexes."""
    index = Index.load(folder)
    others = [other for other in sorted(place.others.iterdir()) if other.is_dir()]
    merge_indexes(folder, [other for other in others if not index.find(islice(Index.load(other).ids(), 1))])


JOBS: dict[str, tuple[bool, Callable[[Place, Path], None]]] = {
    "build": (False, build_anew),
    "build anew": (True, build_anew),
    "add": (True, add),
    "delete": (True, delete),
    "compact": (True, compacted),
    "merge": (True, merge),
}
"""Whether an index is there before, and the job."""


# Material ---------------------------------------------------------------------------------------------------------------


def write_sets(folder: Path, rows: int, dim: int) -> None:
    """Embedding sets: `base` and `new` with all rows, `more` with a quarter (half of its ids from base), `one` and `two`."""
    tower = TowerInfo(spec="open_clip:ViT-B-32/openai", modality="image", dim=dim, weights="a" * 64)
    quarter = rows // 4
    parts = {
        "base": [f"base{row:06}" for row in range(rows)],
        "new": [f"new{row:06}" for row in range(rows)],
        "more": [f"base{row:06}" for row in range(0, quarter, 2)] + [f"more{row:06}" for row in range(quarter // 2)],
        "one": [f"one{row:06}" for row in range(quarter)],
        "two": [f"two{row:06}" for row in range(quarter)],
    }
    for seed, (name, ids) in enumerate(parts.items()):
        vectors = np.random.default_rng(seed).standard_normal((len(ids), dim), dtype=np.float32)
        columns = {"lang": [("hu", "en", None)[row % 3] for row in range(len(ids))], "set": [name] * len(ids)}
        table = pa.table({"id": ids, **columns, "row": pa.array(range(len(ids)), pa.int64())})
        import_vectors(folder / name, tower, [(vectors, table)], hashlib.sha256(vectors.tobytes()).hexdigest())


def prepare(place: Place, folder: Path) -> None:
    """An index of several segments and with deleted items, and two others to merge with."""
    base = place.embeddings("base")
    build.build_index(base, folder, place.recipe, resources=Resources(memory=place.memory))
    delete_from_index(folder, base.table["id"].to_pylist()[::5])
    for name in ("one", "two"):
        build.build_index(place.embeddings(name), place.others / name, place.recipe)
        delete_from_index(place.others / name, [f"{name}{row:06}" for row in (0, 7, 11)])
    assert len(Index.load(folder).segments) > 1


def memory_for(recipe: IndexRecipe, dim: int, rows: int) -> int:
    """The least memory in which segments of so many rows are written."""
    sample = np.random.default_rng(0).standard_normal((1000, dim), dtype=np.float32)
    empty = new_index(recipe, dim, lambda: sample)
    low, high = 0, 1 << 34
    while high - low > 1:
        middle = (low + high) // 2
        try:
            enough = build.rows_in(middle, empty) >= rows
        except ConfigError:
            enough = False
        low, high = (low, middle) if enough else (middle, high)
    return high


# Processes --------------------------------------------------------------------------------------------------------------


def start(work: Callable[[], None]) -> int:
    """Begin work in a process that is forked from this one, which has only imported; back when the work begins."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(LIMIT)
            os.close(reading)
            os.write(writing, b"!")
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    return child


def end_of(child: int) -> int:
    """How a process ended: 0, or what is wrong."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def done(work: Callable[[], None]) -> bool:
    """Do work in a process of its own; whether it went well."""
    return end_of(start(work)) == 0


def taken(answer: Path, work: Callable[[], Any]) -> Any:
    """What work in a process of its own gives back, None if it failed."""
    answer.unlink(missing_ok=True)
    return json.loads(answer.read_text()) if done(lambda: void(answer.write_text(json.dumps(work())))) else None


def void(_: object) -> None:
    """Nothing."""


# Trials -----------------------------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """One job on one kind of index: prepared, measured, ready to be killed.

    Attributes:
        folder: holds `template`, the state before, and `now`, where the job runs.
        seconds: the job undisturbed.
        old, new: the states before and after.
        counts: of kills, of what was found after them, of failures.
    """

    kind: str
    job: str
    place: Place
    folder: Path
    seconds: float = 0.0
    old: State = field(default_factory=dict)
    new: State = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def index(self) -> Path:
        """Where the job works."""
        return self.folder / "now" / "index"

    def run(self) -> None:
        """The job."""
        JOBS[self.job][1](self.place, self.index)

    def fresh(self) -> None:
        """The state before, on disk."""
        shutil.rmtree(self.folder / "now", ignore_errors=True)
        (self.folder / "now").mkdir(parents=True)
        if JOBS[self.job][0]:
            shutil.copytree(self.folder.parent / "template" / "index", self.index)

    def look(self) -> State | None:
        """What lies there now; None if it cannot be opened or is not sound."""
        found: State | None = taken(self.folder / "state.json", lambda: state(self.index, self.place.ids()))
        return found

    def measure(self) -> None:
        """The old and the new state, and the median time of three undisturbed runs."""
        times = []
        for _ in range(3):
            self.fresh()
            self.old = self.look() or sys.exit(f"{self.job}, {self.kind}: the index to begin with is not sound")
            begun = time.perf_counter()
            if not done(self.run):
                sys.exit(f"{self.job}, {self.kind}: the job fails undisturbed")
            times.append(time.perf_counter() - begun)
            self.new = self.look() or sys.exit(f"{self.job}, {self.kind}: the index is not sound after an undisturbed run")
        self.seconds = sorted(times)[1]
        if (self.old["generation"], self.old["content"]) == (self.new["generation"], self.new["content"]) or self.new["stray"]:
            sys.exit(f"{self.job}, {self.kind}: an undisturbed run changes nothing, or leaves {self.new['stray']}")

    def kill(self, chance: random.Random) -> None:
        """Kill the job once, and look."""
        while True:
            self.fresh()
            moment = chance.uniform(0, self.seconds)
            child = start(self.run)
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)
            status = end_of(child)
            if status == -signal.SIGKILL:
                break
            if status:
                sys.exit(f"{self.job}, {self.kind}: the job failed before it was killed")
            self.counts["ended before"] += 1
        self.counts["kills"] += 1
        problem = self.problem()
        if problem:
            self.counts["failures"] += 1
            print(f"FAILED: {self.job}, {self.kind}, killed after {moment:.4f} of {self.seconds:.4f} s: {problem}", flush=True)

    def problem(self) -> str:
        """What is wrong after a kill, "" if nothing is."""
        found = self.look()
        if found is None:
            return "the index does not open, or is not sound"
        self.counts["leftovers"] += bool(found["stray"])
        states = {"old": self.old, "new": self.new}
        which = [name for name, known in states.items() if all(found[key] == known[key] for key in ("generation", "content"))]
        if not which:
            return "the index is neither the old nor the new one"
        self.counts[which[0]] += 1
        if not done(self.run):
            return f"found the {which[0]} index, but the job run again fails"
        again = self.look()
        if again is None or again["content"] != self.new["content"]:
            return f"found the {which[0]} index, but the job run again does not reach the new state"
        return f"found the {which[0]} index; run again, {', '.join(again['stray'])} stay" if again["stray"] else ""


def prepared(work: Path, rows: int, dim: int) -> list[Trial]:
    """All jobs on all kinds of indexes, measured."""
    if not done(lambda: write_sets(work / "sets", rows, dim)):
        sys.exit("the embedding sets could not be written")
    trials = []
    for number, (kind, recipe) in enumerate(KINDS.items()):
        folder = work / str(number)
        folder.mkdir()
        memory = taken(folder / "memory.json", lambda recipe=recipe: memory_for(recipe, dim, rows * 2 // 5))
        place = Place(work / "sets", folder / "others", recipe, memory)
        if not done(lambda place=place, folder=folder: prepare(place, folder / "template" / "index")):
            sys.exit(f"{kind}: the index to begin with could not be built")
        trials += [Trial(kind, job, place, folder / job.replace(" ", "-")) for job in JOBS]
    for trial in trials:
        trial.measure()
    return trials


def print_table(trials: list[Trial]) -> None:
    """One line per job, over all kinds."""
    names = ("kills", "leftovers", "old", "new", "failures")
    print(
        f"{'job':12} {'undisturbed, ms':>16} {'kills':>6} {'leftovers':>10} {'found old':>10} {'found new':>10} {'failures':>9}"
    )
    total: Counter[str] = Counter()
    for job in JOBS:
        own = [trial for trial in trials if trial.job == job]
        counts = sum((trial.counts for trial in own), Counter[str]())
        times = [1000 * trial.seconds for trial in own]
        print(f"{job:12} {f'{min(times):.0f} to {max(times):.0f}':>16} " + line(counts, names))
        total += counts
    print(f"{'all':12} {'':>16} " + line(total, names))


def line(counts: Counter[str], names: tuple[str, ...]) -> str:
    """Numbers under their heads."""
    return " ".join(f"{counts[name]:>{width}}" for name, width in zip(names, (6, 10, 10, 10, 9), strict=True))


def main() -> None:
    """Kill, look, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rows", type=int, default=5_000, help="items of the index")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    faiss()  # imported once, before the processes are forked; this one never computes with it
    build.BLOCK = compact.BLOCK = BLOCK
    chance = random.Random(arguments.seed)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        trials = prepared(Path(work), arguments.rows, arguments.dim)
        for number in range(arguments.kills):
            trials[number % len(trials)].kill(chance)
    print(f"{arguments.kills} kills, {arguments.rows} x {arguments.dim}, {', '.join(KINDS)}, seed {arguments.seed}, "
          f"{time.perf_counter() - begun:.0f} s; {sum(trial.counts['ended before'] for trial in trials)} processes ended before "
          "their moment and were started again")  # fmt: skip
    print_table(trials)
    sys.exit(1 if any(trial.counts["failures"] for trial in trials) else 0)


if __name__ == "__main__":
    main()
