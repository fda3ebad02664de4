"""The part `queries` of `indexes.py`: recall by effort for texts and for pictures, in inverted lists and in a graph.

Texts lie elsewhere than pictures, so an index that is tuned on pictures seems better than it is. Then `auto` within so little
memory that it has to take codes, with what it says. Run it with `--rows 100000`.
"""

from __future__ import annotations

from collections.abc import Mapping

from index_bench import Bench, per_query
from index_peers import ours_at
from index_vectors import K

from mella_retrieval.indexes.auto.choose import list_count
from mella_retrieval.indexes.auto.truth import exact_neighbours
from mella_retrieval.indexes.index import Index

ASKED = 400
AUTO_BYTES, AUTO_RECALL = 640, 0.95
"""Bytes a vector, and the recall that `auto` is asked for."""

LISTS, PATHS = (1, 4, 16, 64, 256), (16, 64, 256, 512, 1024)


def queries(bench: Bench) -> None:
    """Print recall@10 and milliseconds a query."""
    asked = {"texts": bench.data.load("tuning")[:ASKED], "pictures": bench.data.load("added")[:ASKED]}
    truth = {name: exact_neighbours(bench.blocks(), vectors, K) for name, vectors in asked.items()}
    settings: list[tuple[str, Mapping[str, int]]] = [
        *((f"IVF{list_count(bench.data.rows)},Flat", {"nprobe": value}) for value in LISTS),
        *(("HNSW32", {"efSearch": value}) for value in PATHS),
    ]
    print(f"\n{'index':14}{'parameter':>16}" + "".join(f"{name + ', recall@10':>22}{'ms a query':>12}" for name in asked))
    for factory, parameters in settings:
        index = Index.load(bench.index(factory))
        cells = ""
        for name, vectors in asked.items():
            found = index.search(vectors, K, parameters=parameters).rows
            cells += f"{truth[name].recall(found):22.3f}{per_query(index, vectors, dict(parameters), 1):12.2f}"
        print(f"{factory:14}{'='.join(map(str, *parameters.items())):>16}{cells}", flush=True)
    print("\nauto", flush=True)
    print(ours_at(bench, "auto", AUTO_BYTES * bench.data.rows, AUTO_RECALL))
