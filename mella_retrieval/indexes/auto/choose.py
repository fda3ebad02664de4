"""Choose the kind of index: the best one that the memory allows, with the reasons."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.auto.estimate import Estimate, estimate, estimate_bytes
from mella_retrieval.indexes.auto.factory import parse_factory
from mella_retrieval.indexes.auto.needs import AutoConfig
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.sizes import size_text

QUICK_MS = 5.0
"""Exact search is taken where a query should not last longer: nothing needs to be learnt or tuned."""

FEW = 20_000
"""Below this lists save too little to be worth their training."""

ROWS_PER_LIST = 39
"""FAISS warns below: centroids of fewer vectors are chance."""

DEAD_SHARE = 0.1
"""Where items will be deleted, room is kept for so many dead ones per living one: they go with the next compaction."""

GRAPH = (
    "HNSW32",
    "text queries lie far from all pictures, so a graph is slow for them: among 100,000 drawn CLIP vectors it took 1.7 ms a "
    "query to a recall of 0.91, lists 0.7 ms to 0.93",
)
"""The reason against graphs, as measured (`benchmarks/performance/indexes.py --rows 100000 --part queries`, two cores)."""

TRAIN_ROWS = 262_144
TRAINED_PER_LIST = 64
"""Vectors that a centroid is learnt from. FAISS would take 256 for longer training; lists hardly get better by it."""

START_RERANK = 4


@dataclass(frozen=True)
class Candidate:
    """A kind of index that may be taken, and what is to be said for it."""

    recipe: IndexRecipe
    why: str


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        recipe: to build; its search parameters are where tuning starts.
        estimate: of what it will take.
        why: sentences.
        rejected: kinds that would have been better, each with the reason against it.
        fallback: kinds that fit the budget too and hold the vectors as they are: they reach every recall, however slowly.
        next_budget: bytes of memory that the next richer kind takes, None where none is left out for its memory.
    """

    recipe: IndexRecipe
    estimate: Estimate
    why: list[str]
    rejected: list[tuple[str, str]]
    fallback: list[IndexRecipe]
    next_budget: int | None

    def sentences(self, config: AutoConfig) -> list[str]:
        """The choice in words, for people."""
        cost = self.estimate
        return [
            f"chosen: {self.recipe.factory}",
            *self.why,
            f"estimated: {size_text(cost.memory_bytes)} in memory of {size_text(config.memory_bytes)} allowed, "
            f"{size_text(cost.disk_bytes)} on disk, {_time_text(cost.build_seconds)} to build, "
            f"{cost.query_ms:.2g} ms a query before tuning (times are rough: within a factor of three)",
            *(f"not {factory}: {reason}" for factory, reason in self.rejected),
        ]


def choose(rows: int, dim: int, config: AutoConfig) -> Choice:
    """Choose by size, memory, recall and deletes; nothing is built.

    Args:
        rows: how many vectors.
        dim: their dimension in the index.
        config: the needs.

    Raises:
        ConfigError: the budget cannot be met; the smallest one that can is named.
    """
    budget = config.memory_bytes
    found = [_Weighed.of(candidate, rows, dim, config) for candidate in candidates(rows, dim, config)]
    smallest = min(found, key=lambda weighed: weighed.memory)
    if smallest.memory > budget:
        exact = " at recall 1, which only exact search promises" if config.recall == 1 else ""
        raise ConfigError(
            f"no index of {rows:,} vectors of {dim} dimensions fits into memory={config.memory}{exact}: the smallest budget that "
            f"can be met is {smallest.memory:,} bytes ({size_text(smallest.memory)}), with {smallest.candidate.recipe.factory}."
        )
    objections = [_objection(weighed, budget, rows, config) for weighed in found]
    fits = [weighed for weighed in found if weighed.memory <= budget]
    # Where exact search alone fits, it is taken however slow it is.
    place = next((place for place, reason in enumerate(objections) if reason is None), found.index(fits[0]))
    chosen = found[place]
    rejected = [
        (weighed.candidate.recipe.factory, reason) for weighed, reason in zip(found[:place], objections, strict=False) if reason
    ]
    return Choice(
        recipe=chosen.candidate.recipe,
        estimate=chosen.cost,
        why=[chosen.candidate.why],
        rejected=rejected if rows < FEW or config.recall == 1 else [*rejected, GRAPH],
        fallback=[
            weighed.candidate.recipe
            for weighed in fits
            if weighed is not chosen and parse_factory(weighed.candidate.recipe.factory, dim).exact
        ],
        next_budget=min((weighed.memory for weighed in found[:place] if weighed.memory > budget), default=None),
    )


@dataclass(frozen=True)
class _Weighed:
    """A candidate, its cost, and the memory it must be allowed: with room for deleted items where there will be some."""

    candidate: Candidate
    cost: Estimate
    memory: int

    @classmethod
    def of(cls, candidate: Candidate, rows: int, dim: int, config: AutoConfig) -> _Weighed:
        most = rows + math.ceil(rows * DEAD_SHARE) if config.deletes else rows
        return cls(candidate, estimate(candidate.recipe, rows, dim), estimate_bytes(candidate.recipe, most, dim))


def _objection(weighed: _Weighed, budget: int, rows: int, config: AutoConfig) -> str | None:
    if weighed.memory > budget:
        dead = " with room for deleted items" if config.deletes else ""
        return f"it needs {size_text(weighed.memory)} of memory{dead}"
    brute = weighed.candidate.recipe.factory == "Flat"
    if brute and config.recall < 1 and rows >= FEW and weighed.cost.query_ms > QUICK_MS:
        return f"comparing all {rows:,} vectors would take about {weighed.cost.query_ms:.2g} ms a query"
    return None


def candidates(rows: int, dim: int, config: AutoConfig) -> list[Candidate]:
    """The kinds that are considered, from the best to the cheapest."""
    exact = Candidate(IndexRecipe(factory="Flat"), "exact search: every vector is compared, nothing is learnt, nothing is missed")
    if config.recall == 1:
        return [exact]
    if rows < FEW:
        return [exact, *_compressed(rows, dim, lists=0)]
    lists = list_count(rows)
    inverted = Candidate(
        _recipe(f"IVF{lists},Flat", nprobe=_start(lists)),
        f"inverted lists over the vectors as they are: each query looks into some of {lists:,} lists",
    )
    return [exact, inverted, *_compressed(rows, dim, lists)]


def list_count(rows: int) -> int:
    """How many inverted lists: 4 sqrt(n), and not more than can be trained."""
    return max(1, min(int(4 * math.sqrt(rows)), min(rows, TRAIN_ROWS) // ROWS_PER_LIST))


def _compressed(rows: int, dim: int, lists: int) -> list[Candidate]:
    """Kinds that keep less of each vector, from the most to the least: the first hits are scored again from stored vectors."""
    inside = f"IVF{lists}," if lists else ""
    start = {"nprobe": _start(lists)} if lists else {}
    again = "; the best candidates are scored again from the vectors on disk"
    made = [
        Candidate(_recipe(f"{inside}SQfp16", rerank=0, **start), "half-precision numbers: half the memory, hardly any loss"),
        Candidate(_recipe(f"{inside}SQ8", rerank=START_RERANK, **start), f"one byte a number: a quarter of the memory{again}"),
    ]
    if rows < 2 * 256 or dim < 16:  # too few to learn centroids from, or too short for anything to be saved
        return made
    quantised = [(dim // each, each) for each in (4, 8, 16) if dim % (2 * each) == 0]
    # At one bit a number the product quantiser found more than RaBitQ and was quicker, in a trial that is not stored.
    for bits in (4, 2) if quantised else (4, 2, 1):
        name = f"RR{dim},{inside}RaBitQ{bits if bits > 1 else ''}"
        why = f"a random rotation and {bits} bit a number (RaBitQ){again}"
        made.append(Candidate(_recipe(name, rerank=START_RERANK * 4 // bits, **start), why))
    for count, each in quantised:
        name = f"OPQ{count},{inside}PQ{count}x4fs"
        why = f"a rotation and product quantisation with fast scan: {count // 2:,} bytes a vector{again}"
        made.append(Candidate(_recipe(name, rerank=START_RERANK * each, **start), why))
    sizes = [estimate_bytes(candidate.recipe, rows, dim) for candidate in made]
    # With few or short vectors a rotation takes more than coarser codes save.
    return [candidate for place, candidate in enumerate(made) if not place or sizes[place] < min(sizes[:place])]


def _recipe(factory: str, rerank: int = 0, **search: int) -> IndexRecipe:
    lists = re.search(r"IVF(\d+)", factory)
    enough = max(1 << 16, TRAINED_PER_LIST * int(lists[1]) if lists else 0)  # for codes as well
    return IndexRecipe(factory=factory, search=search, rerank=rerank, train_rows=min(TRAIN_ROWS, enough))


def _start(lists: int) -> int:
    """Of the lists about one in a hundred is looked into at first."""
    return max(1, lists // 128)


def _time_text(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
