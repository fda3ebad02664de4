"""autofaiss on files, in its own environment: `.venv-autofaiss/bin/python benchmarks/performance/autofaiss_peer.py build|search`.

`build` takes autofaiss's own way through: it chooses the kind of index for a budget, trains, adds, searches for the search
parameters that keep to a query time, measures, writes. What choosing parameters and measuring took is told apart. `search` asks
the FAISS index that it wrote. The answer is one JSON object in the last line.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import autofaiss
import faiss
import numpy as np
from autofaiss.external import optimize
from autofaiss.indices.index_utils import set_search_hyperparameters


def build(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the whole, of choosing parameters and of measuring; the kind, its parameters and bytes; highest memory."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    spent = {"tuning": 0.0, "measuring": 0.0}
    optimize.get_optimal_hyperparameters = timed(optimize.get_optimal_hyperparameters, spent, "tuning")
    optimize.compute_fast_metrics = timed(optimize.compute_fast_metrics, spent, "measuring")
    start = time.perf_counter()
    _, made = autofaiss.build_index(
        embeddings=str(arguments.vectors),
        index_path=str(arguments.out / "knn.index"),
        index_infos_path=str(arguments.out / "infos.json"),
        metric_type="ip",
        max_index_memory_usage=f"{arguments.memory}B",
        current_memory_available=f"{arguments.available}B",
        max_index_query_time_ms=arguments.milliseconds,
        nb_cores=arguments.threads,
        verbose=logging.ERROR,
    )
    seconds = time.perf_counter() - start
    if made is None:
        raise SystemExit("autofaiss made no index; it says why above.")
    return {
        "seconds": seconds,
        **spent,
        "key": made["index_key"],
        "parameters": made["index_param"],
        "bytes": (arguments.out / "knn.index").stat().st_size,
        "peak": highest_memory(),
        "faiss": faiss.__version__,
    }


def highest_memory() -> int:
    """Bytes that this process held at most, mapped pages of files included (`ru_maxrss` would begin with the parent's)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def timed(work: Callable[..., Any], spent: dict[str, float], name: str) -> Callable[..., Any]:
    """The same function; its time is added up."""

    def measured(*values: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return work(*values, **named)
        finally:
            spent[name] += time.perf_counter() - start

    return measured


def search(arguments: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds per query by batch; the rows that were found are written to `--found`."""
    faiss.omp_set_num_threads(arguments.threads)
    index = faiss.read_index(str(arguments.index))
    set_search_hyperparameters(index, arguments.parameters)
    queries = np.load(arguments.queries)
    np.save(arguments.found, index.search(queries, arguments.k)[1])
    return {"ms": {str(batch): milliseconds(index, queries, batch, arguments) for batch in arguments.batch}}


def milliseconds(index: Any, queries: np.ndarray, batch: int, arguments: argparse.Namespace) -> float:
    """Median over the batches, per query."""
    taken = []
    for start in range(0, len(queries) - batch + 1, batch):
        began = time.perf_counter()
        index.search(queries[start : start + batch], arguments.k)
        taken.append(time.perf_counter() - began)
        if sum(taken) > arguments.seconds:
            break
    return 1000 * statistics.median(taken) / batch


def main() -> None:
    """Do one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(required=True)
    step = steps.add_parser("build")
    step.set_defaults(work=build)
    step.add_argument("--vectors", type=Path, required=True, help="folder of npy files")
    step.add_argument("--out", type=Path, required=True)
    step.add_argument("--memory", type=int, required=True, help="bytes of the index")
    step.add_argument("--available", type=int, required=True, help="bytes to build in")
    step.add_argument("--milliseconds", type=float, default=10.0, help="a query may take")
    step = steps.add_parser("search")
    step.set_defaults(work=search)
    step.add_argument("--index", type=Path, required=True)
    step.add_argument("--parameters", required=True)
    step.add_argument("--queries", type=Path, required=True)
    step.add_argument("--found", type=Path, required=True)
    step.add_argument("--k", type=int, default=10)
    step.add_argument("--batch", type=int, nargs="+", default=[1, 64])
    step.add_argument("--seconds", type=float, default=10.0, help="of measuring each batch size at most")
    for step in steps.choices.values():
        step.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    print(json.dumps(arguments.work(arguments)), file=sys.stdout)


if __name__ == "__main__":
    main()
