"""The measured curve of recall against latency that tuning went along: stored with an index."""

from __future__ import annotations

from mella_retrieval.recipes import Strict


class Point(Strict):
    """One setting of the search parameters, measured.

    Attributes:
        parameters: by name; `rerank` is ours, all others are FAISS's.
        recall: recall@k on the queries that were tuned on.
        ms_per_query: median milliseconds of a query that is asked alone.
        queries_per_second: in batches of 64.
    """

    parameters: dict[str, int]
    recall: float
    ms_per_query: float
    queries_per_second: float


class Curve(Strict):
    """How search parameters were tuned.

    Attributes:
        factory: the kind of index.
        items: how many it held.
        k: of recall@k.
        wanted: the recall that was asked for.
        points: from the cheapest to the costliest setting, recall on the first half of the queries.
        chosen: the parameters that were taken.
        recall: recall@k of the chosen ones on the second half, which chose nothing: the figure to quote.
        met: whether the wanted recall was reached on the first half.
        tuned_on, held_out: how many queries each half has.
        cores: of the machine that the times were measured on.
    """

    factory: str
    items: int
    k: int
    wanted: float
    points: tuple[Point, ...]
    chosen: dict[str, int]
    recall: float
    met: bool
    tuned_on: int
    held_out: int
    cores: int
