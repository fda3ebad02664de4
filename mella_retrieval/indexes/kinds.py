"""What the kinds of FAISS indexes have in common for us, and where they differ: parameters, vectors, bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.errors import ArtifactError, ConfigError
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.recipe import IndexRecipe

Array = npt.NDArray[np.float32]


def new_index(
    recipe: IndexRecipe,
    dim: int,
    sample: Callable[[], Array],
    train: Callable[[Any, Array], None] | None = None,
    made: Any = None,
) -> Any:
    """An empty, trained FAISS index.

    Args:
        recipe: factory string and parameters.
        dim: of the vectors.
        sample: gives the vectors that a trained index learns from, (n, dim); not called where nothing is learnt.
        train: trains an index on vectors, elsewhere than on the processor.
        made: an empty index of a kind that FAISS's factory does not know.

    Raises:
        ConfigError: the factory string or a parameter is not valid, or the sample is too small.
    """
    with config_errors(f"FAISS cannot make {recipe.factory!r} for {dim} dimensions"):
        index = made if made is not None else faiss().index_factory(dim, recipe.factory, faiss().METRIC_INNER_PRODUCT)
    if index.metric_type != faiss().METRIC_INNER_PRODUCT:
        raise ConfigError(f"FAISS makes {recipe.factory!r} for distances only, not for inner products: take another kind.")
    set_parameters(index, recipe.factory, recipe.build, "build")
    set_parameters(index, recipe.factory, recipe.search)
    if not index.is_trained:
        vectors = sample()
        _without_warnings(index)
        with config_errors(f"{recipe.factory} cannot be trained on {len(vectors)} vectors"):
            (train or type(index).train)(index, np.ascontiguousarray(vectors))
    return index


def _without_warnings(index: Any) -> None:
    """FAISS prints a line for every k-means with fewer than 39 vectors a centroid; too few to learn from stay an error."""
    found = innermost(index)
    learners: tuple[Any, ...] = (found, getattr(found, "pq", None))
    for learner in learners:
        if hasattr(learner, "cp"):
            learner.cp.min_points_per_centroid = 1


def set_parameters(index: Any, factory: str, values: Mapping[str, int], purpose: str = "search") -> None:
    """Set FAISS's parameters by name.

    Raises:
        ConfigError: one does not fit this kind of index.
    """
    for name, value in values.items():
        with config_errors(f"the {purpose} parameter {name}={value} does not fit {factory!r}"):
            faiss().ParameterSpace().set_index_parameter(index, name, value)


@contextmanager
def config_errors(what: str) -> Iterator[None]:
    """FAISS's errors as sentences about a configuration."""
    try:
        yield
    except RuntimeError as error:
        raise ConfigError(f"{what}: {reason(error)}.") from None


def reason(error: Exception) -> str:
    """The sentence in a FAISS error, without its C++ location."""
    text = re.sub(r"^Error in .* at \S+:\d+: ", "", str(error).strip().splitlines()[0])
    failed = re.fullmatch(r"Error: '(.*)' failed:? *(.*)", text)
    return (failed[2] or f"it needs {failed[1]}") if failed else text


def read_index(path: Path) -> Any:
    """Open a FAISS file, memory-mapped: nothing is read but headers, centroids and levels.

    Raises:
        ArtifactError: it cannot be read.
    """
    library = faiss()
    try:
        return library.read_index(str(path), library.IO_FLAG_MMAP_IFC | library.IO_FLAG_READ_ONLY)
    except RuntimeError as error:
        raise ArtifactError(f"{path} cannot be read: {reason(error)}") from None


def read_copy(path: Path) -> Any:
    """Read a FAISS file into memory, to be added to."""
    try:
        return faiss().read_index(str(path))
    except RuntimeError as error:
        raise ArtifactError(f"{path} cannot be read: {reason(error)}") from None


def write_index(index: Any, path: Path) -> None:
    """Write a FAISS file.

    Raises:
        ArtifactError: the disk is full.
    """
    try:
        faiss().write_index(index, str(path))
    except RuntimeError as error:
        raise ArtifactError(f"could not write {path}: {reason(error)}. Nothing was changed.") from None


def innermost(index: Any) -> Any:
    """The index below rotations and other transforms."""
    found = faiss().downcast_index(index)
    while isinstance(found, faiss().IndexPreTransform):
        found = faiss().downcast_index(found.index)
    return found


def holds_vectors(index: Any) -> bool:
    """Whether the vectors lie in it as they are, as float32."""
    library, found = faiss(), faiss().downcast_index(index)
    return isinstance(found, library.IndexFlat | library.IndexHNSWFlat | library.IndexHNSWCagra | library.IndexIVFFlat)


def gives_back(index: Any) -> bool:
    """Whether vectors can be reconstructed, if only roughly. Inverted lists of fast-scan codes end the process (FAISS 1.15.1)."""
    found = innermost(index)
    return not isinstance(found, faiss().IndexIVFFastScan)


def bytes_per_vector(index: Any) -> int:
    """Memory that one more vector takes in this index."""
    library, found = faiss(), innermost(index)
    if isinstance(found, library.IndexIVF):
        return int(found.code_size) + 8
    if isinstance(found, library.IndexHNSW):
        links = 4 * int(np.ceil(1.1 * found.hnsw.nb_neighbors(0)))
        return bytes_per_vector(found.storage) + links + 12
    return int(getattr(found, "code_size", 4 * found.d))


GROWTH_RESERVED, GROWTH_LISTS, GROWTH_GRAPH = 1.1, 2.2, 3.0
"""Memory of an index while it is filled, in units of what it takes in the end: with its arrays reserved; with inverted lists,
which double when they are full; and of a CAGRA graph, which is made from a copy of all vectors."""


def growth(index: Any) -> float:
    """Memory of an index while it is filled (its arrays reserved), in units of what it takes in the end."""
    found = innermost(index)
    if isinstance(found, faiss().IndexHNSWCagra):
        return GROWTH_GRAPH
    return GROWTH_LISTS if isinstance(found, faiss().IndexIVF) else GROWTH_RESERVED


def reserve(index: Any, rows: int) -> None:
    """Make room for so many vectors at once: arrays that grow are copied, and take three times their size for a moment.

    Inverted lists have no known length: they grow. A CAGRA graph is put in whole.
    """
    found = innermost(index)
    if isinstance(found, faiss().IndexHNSWCagra):
        return
    if isinstance(found, faiss().IndexHNSW):
        graph = found.hnsw
        upper = graph.nb_neighbors(1)
        links = graph.nb_neighbors(0) + upper / max(1, upper - 1)  # one vector in `upper` stands one level higher, and so on
        _make_room(graph.neighbors, int(1.01 * rows * links) + 1000)
        found = faiss().downcast_index(found.storage)
    if hasattr(found, "codes"):
        _make_room(found.codes, rows * found.code_size)


def _make_room(array: Any, entries: int) -> None:
    """FAISS shows no `reserve`: an array keeps the room it had when it gets smaller."""
    held = array.size()
    if entries > held:
        array.resize(entries)
        array.resize(held)


def search_parameters(index: Any, values: Mapping[str, int], selector: Any = None) -> Any:
    """FAISS's search parameters for one call; what is not given is as the index has it.

    Args:
        index: the index to be searched.
        values: parameters by name.
        selector: of the rows that count, or None.

    Raises:
        ConfigError: a parameter does not fit this kind of index.
    """
    library, found = faiss(), faiss().downcast_index(index)
    if isinstance(found, library.IndexPreTransform):
        return library.SearchParametersPreTransform(index_params=search_parameters(found.index, values, selector))
    given = {"sel": selector} if selector is not None else {}
    if isinstance(found, library.IndexIVF):
        known: tuple[str, ...] = ("nprobe", "quantizer_efSearch")
        given |= {"nprobe": values.get("nprobe", found.nprobe), "max_codes": found.max_codes}
        if "quantizer_efSearch" in values:
            given["quantizer_params"] = library.SearchParametersHNSW(efSearch=values["quantizer_efSearch"])
        made = library.SearchParametersIVF(**given)
    elif isinstance(found, library.IndexHNSW):
        known = ("efSearch",)
        made = library.SearchParametersHNSW(efSearch=values.get("efSearch", found.hnsw.efSearch), **given)
    else:
        known = ()
        made = library.SearchParameters(**given)
    for name in values:
        if name not in known:
            fitting = ", ".join(known) or "none"
            raise ConfigError(f"the search parameter {name} does not fit this kind of index; it knows {fitting}.")
    return made


def require_parameters(index: Any, values: Mapping[str, int], rerank: int) -> None:
    """Check the parameters of one call, also where the search can do without them.

    Raises:
        ConfigError: one does not fit this kind of index, or is too small to mean anything.
    """
    search_parameters(index, values)
    for name, value, least in [*((name, value, 1) for name, value in values.items()), ("rerank", rerank, 0)]:
        if value < least:
            raise ConfigError(f"the search parameter {name} must be at least {least}, not {value}.")


def effort(index: Any, factor: float, values: Mapping[str, int]) -> dict[str, int]:
    """Parameters that make a search look at `factor` times as many items as `values`, or else the index, are set to.

    Kinds that look at everything have none.
    """
    found = innermost(index)
    if isinstance(found, faiss().IndexIVF):
        return {**values, "nprobe": int(min(found.nlist, np.ceil(values.get("nprobe", found.nprobe) * factor)))}
    if isinstance(found, faiss().IndexHNSW):
        return {**values, "efSearch": int(np.ceil(values.get("efSearch", found.hnsw.efSearch) * factor))}
    return dict(values)
