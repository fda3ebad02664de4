"""Indexes on the processor: what search costs over FAISS's own call, how quick changes are, autofaiss on the same vectors.

    python benchmarks/performance/indexes.py                              # 1 M x 512, all parts
    python benchmarks/performance/indexes.py --rows 20000                 # to try
    bash benchmarks/performance/autofaiss_environment.sh                  # once, for the part `peers`

- `overhead`: vectors in, scores and ids out, beside `search` of the same opened FAISS index, in turns. The difference of two long
  times is noisy, so it stands with a 95 % interval, beside what our own code took (our time without the time in FAISS in the same
  call). Within the limit: `no` where the interval or our own code lies above it, `open` where noise is larger than the limit.
  Records are read apart.
- `lifecycle`: opening, adding 1,000, deleting 1,000, compacting. Indexes are built for it and for `overhead` once, and kept.
- `queries`: how recall grows with the effort for texts and for pictures, in lists and in a graph (index_queries.py).
- `peers`: for each budget autofaiss takes its own way through (index_peers.py, autofaiss_peer.py); ours are built within the
  bytes of its index and tuned until they reach its recall, on queries apart from those that measure. Both begin with vectors on
  disk and end with an index on disk. `bytes` is what a search keeps in memory (FAISS file, table of ids), `mapped` lies beside it
  for re-ranking.

The vectors: index_vectors.py. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from index_bench import Bench, seconds
from index_peers import peers
from index_queries import queries
from index_vectors import REPOSITORY, compare, drawn, embedding_set

from mella_retrieval.indexes.auto.choose import list_count
from mella_retrieval.indexes.compact import compact_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.update import add_to_index, delete_from_index

Floats = np.ndarray

PARTS = ("overhead", "lifecycle", "queries", "peers")
BUDGETS = (2400, 120)
"""Bytes a vector: room for a graph over whole vectors, and for 64 bytes of codes. Between them autofaiss takes longer: with 256
bytes of codes it was not done in half an hour with 50,000 vectors."""

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
    parser.add_argument("--kinds", nargs="+", help="only these of `overhead` and `lifecycle`: Flat, HNSW32, IVF...,Flat")
    parser.add_argument("--no-compaction", action="store_true", help="leave out what takes as long as building")
    arguments = parser.parse_args()
    faiss().omp_set_num_threads(arguments.threads)
    print(f"{arguments.rows:,} vectors, {arguments.threads} threads, FAISS {faiss().__version__}")
    data = drawn(arguments.work, arguments.rows)
    compare(data)
    bench = Bench(data, embedding_set(data.folder / "set", "image", data.vectors()), arguments)
    for part in arguments.part or PARTS:
        {"overhead": overhead, "lifecycle": lifecycle, "queries": queries, "peers": peers}[part](bench)


# What our search costs over FAISS's own call --------------------------------------------------------------------------


def overhead(bench: Bench) -> None:
    """Print the table."""
    head = f"{'index':8}{'batch':>6}{'k':>5}{'FAISS, ms':>11}{'ours, ms':>11}{'over, us':>10}{'95 % interval':>20}"
    print(f"\n{head}{'own, us':>10}{'limit, us':>11}  {'within':8}{'records, us a hit':>18}")
    for factory, k, batch in product(bench.arguments.kinds or ("Flat", "HNSW32"), (10, 100), (1, 64, 1024)):
        index = Index.load(bench.index(factory))
        if len(index.segments) != 1:
            raise SystemExit(f"{factory} was built in {len(index.segments)} segments: give it more memory, or fewer --rows.")
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


if __name__ == "__main__":
    main()
