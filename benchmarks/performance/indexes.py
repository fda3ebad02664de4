"""Indexes on the processor: what search costs over FAISS's own call, how quick changes are, autofaiss on the same vectors.

    python benchmarks/performance/indexes.py                              # 1 M x 512, all parts
    python benchmarks/performance/indexes.py --rows 20000                 # to try
    bash benchmarks/performance/autofaiss_environment.sh                  # once, for the part `peers`

- `overhead`: vectors in, scores and ids out, beside `search` of the same opened FAISS index, in turns. The difference of two long
  times is noisy, so it stands with a 95 % interval, beside what our own code took (our time without the time in FAISS in the same
  call). Within the limit: `no` where the interval or our own code lies above it, `open` where noise is larger than the limit.
  Records are read apart.
- `lifecycle`: opening, adding 1,000, deleting 1,000, compacting. Indexes are built for it and for `overhead` once, and kept.
- `peers`: for each budget autofaiss takes its own way through (autofaiss_peer.py); ours are built within the bytes of its index
  and tuned until they reach its recall, on queries apart from those that measure. Both begin with vectors on disk and end with
  an index on disk. `bytes` is what a search keeps in memory (FAISS file, table of ids), `mapped` lies beside it for re-ranking.

The vectors: index_vectors.py. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from index_vectors import BLOCK, REPOSITORY, Drawn, K, compare, drawn, embedding_set, recall

from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import MellaError
from mella_retrieval.indexes.auto.build import auto_build, tune_index
from mella_retrieval.indexes.auto.choose import list_count
from mella_retrieval.indexes.auto.needs import AutoConfig
from mella_retrieval.indexes.auto.truth import Truth, exact_neighbours
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.compact import compact_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.update import add_to_index, delete_from_index
from mella_retrieval.indexes.writing import Resources

Floats = np.ndarray

PEER = REPOSITORY / ".venv-autofaiss" / "bin" / "python"
SCRIPT = Path(__file__).with_name("autofaiss_peer.py")
PARTS = ("overhead", "lifecycle", "peers")
BUDGETS = (2400, 120)
"""Bytes a vector: room for a graph over whole vectors, and for 64 bytes of codes. Between them autofaiss takes longer: with 256
bytes of codes it was not done in half an hour with 50,000 vectors."""

MARGIN, NEARLY_ALL = 0.002, 0.9999
"""Recall that is asked for beyond autofaiss's, since a thousand queries leave so much uncertain, and at most: for a recall of one
`auto` would compare all vectors."""

LIMIT, LIMIT_PER_HIT = 50.0, 1.0
"""Microseconds over FAISS's own call."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one; may be repeated")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs" / "indexes", help="folder of vectors and indexes")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring each line of `overhead`, at least five calls")
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="bytes a vector for autofaiss")
    parser.add_argument("--ours", nargs="+", default=["auto"], help="built within autofaiss's bytes: auto, or factory strings")
    parser.add_argument(
        "--kept", action="store_true", help="ask the index that autofaiss built before; to try other ones of ours"
    )
    parser.add_argument("--milliseconds", type=float, default=10.0, help="a query may take; autofaiss tunes to it")
    parser.add_argument("--kinds", nargs="+", help="only these of `lifecycle`: Flat, HNSW32, IVF...,Flat")
    parser.add_argument("--no-compaction", action="store_true", help="leave out what takes as long as building")
    arguments = parser.parse_args()
    faiss().omp_set_num_threads(arguments.threads)
    print(f"{arguments.rows:,} vectors, {arguments.threads} threads, FAISS {faiss().__version__}")
    data = drawn(arguments.work, arguments.rows)
    compare(data)
    bench = Bench(data, embedding_set(data.folder / "set", "image", data.vectors()), arguments)
    for part in arguments.part or PARTS:
        {"overhead": overhead, "lifecycle": lifecycle, "peers": peers}[part](bench)


@dataclass(frozen=True)
class Bench:
    """What all parts begin with."""

    data: Drawn
    vectors: EmbeddingSet
    arguments: argparse.Namespace

    def index(self, factory: str) -> Path:
        """Folder of an index that is built once and kept; to be changed only in a `copy`."""
        folder, recipe = self.data.folder / f"ours-{factory.replace(',', '-')}", IndexRecipe(factory=factory)
        try:
            there = Index.load(folder).manifest.recipe == recipe
        except MellaError:
            there = False
        if not there:
            build_index(self.vectors, folder, recipe, overwrite=True)
        return folder

    def copy(self, folder: Path) -> Path:
        """The same index in another folder: the files are never changed, so links do."""
        target = folder.with_name(folder.name + "-copy")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target, copy_function=os.link)
        return target


# What our search costs over FAISS's own call --------------------------------------------------------------------------


def overhead(bench: Bench) -> None:
    """Print the table."""
    head = f"{'index':8}{'batch':>6}{'k':>5}{'FAISS, ms':>11}{'ours, ms':>11}{'over, us':>10}{'95 % interval':>20}"
    print(f"\n{head}{'own, us':>10}{'limit, us':>11}  {'within':8}{'records, us a hit':>18}")
    for factory, k, batch in product(("Flat", "HNSW32"), (10, 100), (1, 64, 1024)):
        index = Index.load(bench.index(factory))
        queries = bench.data.load("queries")[:batch]
        bare, ours, own = in_turns(index, queries, k, bench.arguments.seconds)
        low, over, high = median_interval(ours - bare)
        limit = LIMIT + LIMIT_PER_HIT * batch * k
        records = records_time(index, queries, k)
        within = "no" if max(low, np.median(own)) > limit else "yes" if high <= limit else "open"
        print(
            f"{factory:8}{batch:6}{k:5}{np.median(bare) / 1e3:11.3f}{np.median(ours) / 1e3:11.3f}{over:10.0f}"
            f"{f'{low:.0f} - {high:.0f}':>20}{np.median(own):10.0f}{limit:11.0f}  {within:8}{records:18.1f}"
        )


def in_turns(index: Index, queries: Floats, k: int, budget: float) -> tuple[Floats, Floats, Floats]:
    """Microseconds of FAISS's own call, of ours, and of ours outside FAISS; call by call."""
    bare = index.segments[0].index
    inside = [0.0]
    call = bare.search

    def watched(*values: Any, **named: Any) -> Any:
        start = time.perf_counter()
        found = call(*values, **named)
        inside[0] += time.perf_counter() - start
        return found

    def ours() -> object:
        found = index.search(queries, k)
        return found.scores, found.ids

    taken: dict[str, list[float]] = {"bare": [], "ours": [], "own": []}
    began = time.perf_counter()
    while len(taken["own"]) < 5 or (time.perf_counter() - began < budget and len(taken["own"]) < 2000):
        for name in ("bare", "ours") if len(taken["own"]) % 2 else ("ours", "bare"):
            bare.search = call
            taken[name].append(seconds(ours if name == "ours" else lambda: call(queries, k)))
        bare.search, inside[0] = watched, 0.0
        taken["own"].append(seconds(ours) - inside[0])
    bare.search = call
    first, second, third = (1e6 * np.array(values) for values in taken.values())
    return first, second, third


def median_interval(values: Floats) -> tuple[float, float, float]:
    """The median and a 95 % interval of it, by resampling."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (1000, len(values))), axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(low), float(np.median(values)), float(high)


def records_time(index: Index, queries: Floats, k: int) -> float:
    """Microseconds a hit for the records of the first queries' hits, after a search."""
    found = index.search(queries[:64], k)
    taken = [seconds(lambda query=query: found.records(query)) for query in range(len(found))]
    return 1e6 * statistics.median(taken) / k


def seconds(work: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# Changes --------------------------------------------------------------------------------------------------------------


def lifecycle(bench: Bench) -> None:
    """Print the table."""
    more = embedding_set(bench.data.folder / "added-set", "added", bench.data.load("added"))
    gone = [f"image-{row:09d}" for row in np.linspace(0, bench.data.rows - 1, len(more)).astype(int)]
    head = f"{'index':14}{'GB':>6}{'open cold, ms':>15}{'open, ms':>10}"
    print(f"\n{head}{'add 1,000, s':>14}{'delete 1,000, s':>17}{'compact, s':>12}")
    for factory in bench.arguments.kinds or ("Flat", "HNSW32", f"IVF{list_count(bench.data.rows)},Flat"):
        folder = bench.index(factory)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        cold = [opening(folder, cold=True) for _ in range(3)]
        warm = [opening(folder, cold=False) for _ in range(7)]
        adds, deletes = [], []
        for _ in range(3):
            changed = bench.copy(folder)
            adds.append(seconds(lambda changed=changed: add_to_index(changed, more)))
            deletes.append(seconds(lambda changed=changed: delete_from_index(changed, gone)))
        skipped = bench.arguments.no_compaction
        compacting = float("nan") if skipped else seconds(lambda changed=changed: compact_index(changed))
        if len(Index.load(changed)) != bench.data.rows:
            raise SystemExit(f"{changed} does not hold what it should: as many were added as deleted.")
        shutil.rmtree(changed)
        print(
            f"{factory:14}{size / 1e9:6.2f}{1e3 * max(cold):15.1f}{1e3 * max(warm):10.1f}{max(adds):14.2f}{max(deletes):17.2f}"
            f"{compacting:12.1f}"
        )
    print("the slowest of 3 (cold), 7 (open), 3 (add), 3 (delete) and 1 (compact); limits: add 1 s, opening 2 GB 200 ms")


def opening(folder: Path, *, cold: bool) -> float:
    """Seconds of opening; cold where the system was told first to forget the files."""
    if cold:
        for path in folder.rglob("*"):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)
    return seconds(lambda: Index.load(folder))


# autofaiss ------------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """One line of the table; seconds, bytes, milliseconds a query by batch."""

    name: str
    build: float
    choosing: float
    bytes: int
    mapped: int
    peak: int
    parameters: str
    recall: float
    ms: dict[str, float]

    def __str__(self) -> str:
        times = "".join(f"{self.ms[batch]:9.2f}" for batch in ("1", "64"))
        return (
            f"{self.name:44}{self.build:9.1f}{self.choosing:11.1f}{self.bytes / 1e6:10.0f}{self.mapped / 1e6:10.0f}"
            f"{self.peak / 1e6:9.0f}{self.recall:11.4f}{times}  {self.parameters}"
        )


def peers(bench: Bench) -> None:
    """Print a table for each budget."""
    if not PEER.exists():
        raise SystemExit("there is no .venv-autofaiss: run bash benchmarks/performance/autofaiss_environment.sh first.")
    for each in bench.arguments.budgets:
        print(f"\nbudget {each * bench.data.rows / 1e6:,.0f} MB ({each} bytes a vector)")
        print(f"{'':44}{'build, s':>9}{'choosing,s':>11}{'bytes, MB':>10}{'mapped,MB':>10}{'peak, MB':>9}{'recall@10':>11}"
              f"{'ms at 1':>9}{'ms at 64':>9}  parameters", flush=True)  # fmt: skip
        theirs, wanted = autofaiss(bench, each)
        print(theirs, flush=True)
        for recipe in bench.arguments.ours:
            try:
                row = ours_at(bench, recipe, theirs.bytes, min(wanted + MARGIN, NEARLY_ALL))
            except MellaError as error:
                print(f"ours, {recipe}: {error}")
                continue
            print(row)
            print(
                f"    built {theirs.build / row.build:.2f} times as fast in {row.bytes / theirs.bytes:.2f} of the bytes, recall "
                f"{row.recall - theirs.recall:+.4f}, a query alone in {row.ms['1'] / theirs.ms['1']:.2f} of the time",
                flush=True,
            )


def autofaiss(bench: Bench, each: int) -> tuple[Row, float]:
    """Its index, and its recall on the queries that tune ours."""
    folder, threads = bench.data.folder / f"autofaiss-{each}", ["--threads", str(bench.arguments.threads)]
    note = folder / "made.json"
    if not bench.arguments.kept:
        shutil.rmtree(folder, ignore_errors=True)
    budget = [
        f"--memory={each * bench.data.rows}",
        f"--available={free_bytes()}",
        f"--milliseconds={bench.arguments.milliseconds}",
    ]
    if not note.exists():
        note.write_text(json.dumps(peer("build", f"--vectors={bench.data.images}", f"--out={folder}", *budget, *threads)))
    made = json.loads(note.read_text())
    asked = {
        name: peer("search", f"--index={folder / 'knn.index'}", f"--queries={bench.data.folder / f'{name}.npy'}", *threads,
                   f"--parameters={made['parameters']}", f"--found={folder / f'{name}.npy'}")
        for name in ("tuning", "queries")
    }  # fmt: skip
    recalls = {name: recall(np.load(folder / f"{name}.npy"), bench.data.load(f"{name}-truth")) for name in asked}
    name = f"autofaiss, {made['key']}, FAISS {made['faiss']}"
    build = made["seconds"] - made["tuning"] - made["measuring"]
    cost = (build, made["tuning"], made["bytes"], 0, made["peak"])
    row = Row(name, *cost, made["parameters"], recalls["queries"], asked["queries"]["ms"])
    return row, recalls["tuning"]


def free_bytes() -> int:
    """Memory that autofaiss is told of."""
    return int(0.8 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def peer(step: str, *options: str) -> dict[str, Any]:
    """One step of autofaiss_peer.py."""
    done = subprocess.run([PEER, SCRIPT, step, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"autofaiss_peer.py {step} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def ours_at(bench: Bench, factory: str, memory: int, wanted: float) -> Row:
    """An index within `memory` bytes, tuned to the wanted recall."""
    folder, dim = bench.data.folder / "ours-peers", bench.vectors.dim
    tuning, config = bench.data.load("tuning"), AutoConfig(memory=memory, recall=wanted, deletes=False)
    built: list[tuple[float, int]] = []

    def blocks() -> Iterator[Floats]:
        vectors = bench.data.vectors()
        yield from (np.asarray(vectors[start : start + BLOCK]) for start in range(0, len(vectors), BLOCK))

    def build(recipe: IndexRecipe) -> Index:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            values = (str(bench.vectors.folder), str(folder), recipe.model_dump_json(), bench.arguments.threads)
            built.append(fresh.submit(build_apart, *values).result())
        return Index.load(folder)

    start = time.perf_counter()
    if factory == "auto":
        tuned = auto_build(len(bench.vectors), dim, config, tuning, blocks=blocks, build=build, say=say)
        recipe, chosen = tuned.recipe, dict(tuned.curve.chosen)
    else:
        recipe = IndexRecipe(factory=factory)
        truth: Truth = exact_neighbours(blocks(), tuning, K)
        chosen = dict(tune_index(build(recipe), recipe, dim, tuning, truth, config).chosen)
    whole = time.perf_counter() - start
    spent, peaks = (list(values) for values in zip(*built, strict=True))
    kept, mapped = file_bytes(folder)
    index = Index.load(folder)
    found = index.search(bench.data.load("queries"), K, parameters=chosen).rows
    return Row(
        f"ours, {factory if factory != 'auto' else f'auto: {recipe.factory}'}",
        sum(spent),
        whole - sum(spent),
        kept,
        mapped,
        max(peaks),
        ",".join(f"{name}={value}" for name, value in chosen.items()),
        recall(found, bench.data.load("queries-truth")),
        {str(batch): per_query(index, bench.data.load("queries"), chosen, batch) for batch in (1, 64)},
    )


def say(sentence: str) -> None:
    """Print what `auto` says."""
    print(f"    {sentence}", flush=True)


def build_apart(vectors: str, out: str, recipe: str, threads: int) -> tuple[float, int]:
    """Build in a process of its own: seconds, and the most memory it held, mapped pages of its inputs included."""
    faiss().omp_set_num_threads(threads)
    stored, chosen = EmbeddingSet.load(Path(vectors)), IndexRecipe.model_validate_json(recipe)
    taken = seconds(lambda: build_index(stored, out, chosen, resources=Resources(memory=1 << 40), overwrite=True))
    status = Path("/proc/self/status").read_text()  # `ru_maxrss` would begin with what the parent held
    return taken, 1024 * int(status.split("VmHWM:")[1].split()[0])


def file_bytes(folder: Path) -> tuple[int, int]:
    """Bytes that a search keeps in memory, and those of the stored vectors."""
    sizes = [(path.name, path.stat().st_size) for path in folder.glob("segment-*/*")]
    kept, mapped = ("vectors.faiss", "lookup.npy"), ("vectors.npy",)
    return sum(size for name, size in sizes if name in kept), sum(size for name, size in sizes if name in mapped)


def per_query(index: Index, queries: Floats, parameters: dict[str, int], batch: int, budget: float = 10.0) -> float:
    """Milliseconds: median over the batches; ids and scores are taken out."""
    taken: list[float] = []
    for start in range(0, len(queries) - batch + 1, batch):
        taken.append(seconds(lambda start=start: index.search(queries[start : start + batch], K, parameters=parameters).ids))
        if sum(taken) > budget:
            break
    return 1e3 * statistics.median(taken) / batch


if __name__ == "__main__":
    main()
