"""From needs to a tuned index: choose, say so, build, tune; where the recall is not reached, a kind that reaches it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.auto.choose import Choice, choose
from mella_retrieval.indexes.auto.curve import Curve
from mella_retrieval.indexes.auto.factory import parse_factory
from mella_retrieval.indexes.auto.needs import AutoConfig
from mella_retrieval.indexes.auto.truth import Truth, exact_neighbours
from mella_retrieval.indexes.auto.tune import require_queries, tune
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.recipe import RERANK, IndexRecipe
from mella_retrieval.sizes import size_text

Array = npt.NDArray[np.float32]

K = 10
MOST_QUERIES = 2_000
"""More, evenly spread, would only take longer: the standard error of the recall is below half a percent."""
MOST_RERANK = 512
MOST_PATH = 8192
"""Of efSearch: beyond it other kinds of index are quicker."""


@dataclass(frozen=True)
class Tuned:
    """What came of it.

    Attributes:
        index: as it was built, with the search parameters that tuning began with.
        recipe: with the tuned search parameters: to be stored with the index.
        curve: as measured, to be stored too.
        choice: why this kind.
    """

    index: Index
    recipe: IndexRecipe
    curve: Curve
    choice: Choice


def auto_build(
    rows: int,
    dim: int,
    config: AutoConfig,
    queries: Array,
    *,
    blocks: Callable[[], Iterable[Array]],
    build: Callable[[IndexRecipe], Index],
    say: Callable[[str], None] = lambda sentence: None,
) -> Tuned:
    """Choose, build and tune an index.

    Args:
        rows: how many vectors there are.
        dim: their dimension in the index.
        config: what the index has to do.
        queries: (q, dim) *text* vectors in the index's space, unit length: texts like those that will be asked, through the
            adapter. At most `MOST_QUERIES` are used, half of them to tune, the other half
            to measure.
        blocks: gives the vectors as they will stand in the index, in order, in blocks.
        build: builds an index by a recipe; called again, with an exact kind, where the wanted recall is not reached.
        say: told what was chosen, why, and what came of it.

    Raises:
        ConfigError: the budget cannot be met (the smallest that can is named), too few queries, or the recall is not reached
            by any kind that fits.
    """
    require_queries(len(queries))
    queries = queries[np.unique(np.linspace(0, len(queries) - 1, min(len(queries), MOST_QUERIES)).astype(np.int64))]
    choice = choose(rows, dim, config)
    for sentence in choice.sentences(config):
        say(sentence)
    truth = exact_neighbours(blocks(), queries, K)
    recipe, fallback = choice.recipe, list(choice.fallback)
    reached = []
    while True:
        index = build(recipe)
        curve = tune_index(index, recipe, dim, queries, truth, config)
        say(_result(curve))
        reached.append(f"{recipe.factory} reached {_best(curve):.3f}")
        if curve.met:
            search = {name: value for name, value in curve.chosen.items() if name != RERANK}
            tuned = recipe.model_copy(update={"search": search, "rerank": curve.chosen.get(RERANK, recipe.rerank)})
            return Tuned(index, tuned, curve, choice)
        if not fallback:
            raise ConfigError(_not_reached(reached, choice, config))
        recipe = fallback.pop(0)
        say(f"recall {config.recall} is not reached: {recipe.factory} is built instead")


def tune_index(index: Index, recipe: IndexRecipe, dim: int, queries: Array, truth: Truth, config: AutoConfig) -> Curve:
    """Tune an opened index; see `tune`.

    Args:
        index: built with `recipe`, all items in the order that `truth` counts them in.
        recipe: where tuning starts.
        dim: of the queries.
        queries: (q, dim).
        truth: their exact neighbours.
        config: with the wanted recall.
    """
    first = np.cumsum([0, *(segment.rows for segment in index.segments)])

    def search(asked: Array, k: int, parameters: Mapping[str, int]) -> npt.NDArray[np.int64]:
        found = index.search(asked, k, parameters=parameters)
        return np.where(found.rows >= 0, first[np.maximum(found.segments, 0)] + found.rows, -1)

    start, most = _parameters(recipe, len(index), dim)
    return tune(search, queries, truth, wanted=config.recall, start=start, most=most, factory=recipe.factory, items=len(index))


def _parameters(recipe: IndexRecipe, rows: int, dim: int) -> tuple[dict[str, int], dict[str, int]]:
    """Where the parameters of this kind begin, and their most; in the order in which they are raised."""
    parts = parse_factory(recipe.factory, dim)
    start: dict[str, int] = {}
    most: dict[str, int] = {}
    if parts.lists:
        start["nprobe"], most["nprobe"] = recipe.search.get("nprobe", 1), parts.lists
    elif parts.links:
        start["efSearch"], most["efSearch"] = recipe.search.get("efSearch", 16), max(16, min(rows, MOST_PATH))
    if not parts.exact:
        most[RERANK] = max(1, min(MOST_RERANK, -(-rows // K)))
        start[RERANK] = min(max(1, recipe.rerank), most[RERANK])
    return start, most


def _best(curve: Curve) -> float:
    return max(point.recall for point in curve.points)


def _result(curve: Curve) -> str:
    chosen = ", ".join(f"{name}={value}" for name, value in curve.chosen.items()) or "no parameters"
    point = next(point for point in curve.points if point.parameters == curve.chosen)
    return (
        f"tuned: {chosen}: recall@{curve.k} {curve.recall:.3f} on {curve.held_out} held-out queries "
        f"({point.recall:.3f} on the {curve.tuned_on} it was tuned on, {curve.wanted} wanted), "
        f"{point.ms_per_query:.2g} ms a query, {point.queries_per_second:,.0f} queries/s in batches"
    )


def _not_reached(reached: list[str], choice: Choice, config: AutoConfig) -> str:
    more = (
        f"Allow {choice.next_budget:,} bytes ({size_text(choice.next_budget)}) for the next kind, or ask"
        if choice.next_budget
        else "Ask"
    )
    return f"recall {config.recall} was not reached within memory={config.memory}: {'; '.join(reached)}. {more} for less recall."
