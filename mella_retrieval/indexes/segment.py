"""One immutable segment: a FAISS index and the rows (ids and record columns) in the same order, all memory-mapped."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mella_retrieval.errors import ArtifactError, ConfigError
from mella_retrieval.indexes.allowed import Allowed
from mella_retrieval.indexes.devices import CPU, Devices
from mella_retrieval.indexes.found import Numbers, Scores
from mella_retrieval.indexes.gpu import Placed, on_devices
from mella_retrieval.indexes.kinds import (
    effort,
    gives_back,
    holds_vectors,
    innermost,
    read_index,
    require_parameters,
    search_parameters,
    set_parameters,
)
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.lookup import Lookup, id_hashes
from mella_retrieval.indexes.manifest import SegmentEntry
from mella_retrieval.indexes.recipe import RERANK, IndexRecipe
from mella_retrieval.indexes.rows import Rows
from mella_retrieval.indexes.scan import padded, rescored, scan

_LOG = logging.getLogger(__name__)

VECTORS = "vectors.faiss"
ROWS = "rows.arrow"
LOOKUP = "lookup.npy"
STORED = "vectors.npy"
CONTENT = "content"

Array = npt.NDArray[np.float32]
Hits = tuple[Scores, Numbers]

SCANNED = 32_768
"""Where a filter leaves so few rows of a segment, all are scored: exact, and quicker than a search that passes over most."""

_MOST_EFFORT = 16.0
_MOST_TIES = 16_384


class Segment:
    """An opened segment. Its files are mapped: what is put in their place later does not concern it.

    Args:
        folder: of the index.
        entry: what the manifest says of it.
        dims: of the vectors that FAISS searches, and of the stored ones, which may carry a bias too.
        recipe: search parameters.
        devices: where it is searched; filters are always seen to by the processor.

    Attributes:
        rows: how many there are, deleted ones included.
        index: the FAISS index; row i is its vector i.

    Raises:
        ArtifactError: a file cannot be read or does not have the rows its manifest lists.
        ConfigError: a search parameter does not fit.
    """

    def __init__(
        self, folder: Path, entry: SegmentEntry, dims: tuple[int, int], recipe: IndexRecipe, devices: Devices = CPU
    ) -> None:
        dim, stored_dim = dims
        self.folder = folder / entry.name
        self.rows = entry.rows
        self.recipe = recipe
        self.index = read_index(self.folder / VECTORS)
        if self.index.ntotal != entry.rows or self.index.d != dim:
            raise ArtifactError(
                f"{self.folder / VECTORS} holds {self.index.ntotal} vectors of {self.index.d} dimensions; "
                f"its manifest says {entry.rows} of {dim}."
            )
        set_parameters(self.index, recipe.factory, recipe.search)
        self._quick = on_devices(self.index, devices, recipe.gpu, say=_LOG.warning)
        self._rows = Rows(self.folder / ROWS, entry.rows)
        self._lookup = Lookup(self.folder / LOOKUP, entry.rows)
        self._stored = _open_stored(self.folder / STORED, (entry.rows, stored_dim)) if STORED in entry.files else None
        self._scannable = self._stored is not None or gives_back(self.index)
        self._exact_scores = holds_vectors(self.index)
        self._selects = True
        self._mapping = threading.Lock()

    @property
    def table(self) -> pa.Table:
        """All record columns, memory-mapped."""
        return self._rows.table

    @property
    def exact(self) -> bool:
        """Whether the vectors can be had as they were given, up to the precision of the store."""
        return self._stored is not None or holds_vectors(self.index)

    @property
    def precision(self) -> str:
        """How exactly the vectors can be had: `float16` or `float32`, or `codes` where only codes are kept."""
        if self._stored is not None:
            return str(self._stored.dtype)
        return "float32" if self.exact else "codes"

    def ids(self, rows: Iterable[int] | None = None) -> list[str]:
        """The ids of some rows, or of all in the order of the vectors."""
        return self._rows.ids(range(self.rows) if rows is None else rows)

    def records(self, rows: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
        """The record columns of some rows, without the hash of the content, which says nothing to a person."""
        return [{name: value for name, value in record.items() if name != CONTENT} for record in self._rows.records(rows)]

    def take(self, rows: npt.NDArray[np.int64]) -> pa.Table:
        """The record columns of some rows, as a table."""
        return self._rows.take(rows)

    def find(self, ids: list[str]) -> Iterator[tuple[str, int]]:
        """The ids that are here, each with its row; deleted rows too."""
        positions, rows = self._lookup.candidates(id_hashes(ids))
        for position, row, key in zip(positions.tolist(), rows.tolist(), self.ids(rows.tolist()), strict=True):
            if ids[position] == key:
                yield key, row

    def vectors(self, rows: npt.NDArray[np.int64]) -> Array:
        """Vectors (n, dim) of some rows: as they were stored, else as the codes of the index give them back.

        Raises:
            ConfigError: nothing was stored, and this kind of index gives nothing back.
        """
        if self._stored is not None:
            return np.asarray(self._stored[rows], np.float32)
        if not self._scannable:
            raise ConfigError(f"{self.folder} keeps codes only (store: none), and {self.recipe.factory} gives no vectors back.")
        with self._mapping:
            found = innermost(self.index)
            if isinstance(found, faiss().IndexIVF) and found.direct_map.no():
                found.make_direct_map()
        return np.asarray(self.index.reconstruct_batch(np.ascontiguousarray(rows, np.int64)), np.float32)

    def first_hits(self, queries: Array, k: int) -> Hits | None:
        """The plain search of an index whose scores are exact: (q, k + 1) hits, one more than wanted; None for others.

        What follows a scan of gigabytes finds cold caches, so the usual case takes as few steps as it can.
        """
        if not self._exact_scores or self.recipe.rerank or k >= self.rows or self._quick is not self.index:
            return None
        scores, rows = self.index.search(queries, k + 1)
        return scores, rows

    def search(
        self, queries: Array, k: int, allowed: Allowed | None, parameters: Mapping[str, int], first: Hits | None = None
    ) -> Hits:
        """The k best allowed items of each query and, where scores are exact, all that tie with the last of them.

        Args:
            queries: (q, dim) of the stored vectors; what only those have counts where candidates are scored again.
            k: how many.
            allowed: rows that may be found; None for all.
            parameters: search parameters of this call.
            first: what `first_hits` found.

        Returns:
            scores and rows, both (q, w) with the best first; -inf and -1 where a query has fewer hits.

        Raises:
            ConfigError: a parameter that does not fit, however few rows there are to look at.
        """
        own = {name: value for name, value in parameters.items() if name != RERANK}
        if parameters:
            require_parameters(self.index, own, parameters.get(RERANK, 0))
        alive = self.rows if allowed is None else allowed.count
        k = min(k, alive)
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        if allowed is not None and allowed.filtered and alive <= SCANNED and self._scannable:
            return scan(queries, k, allowed.rows, self.vectors)
        rerank = parameters.get(RERANK, self.recipe.rerank)
        scores, rows = first or self._ask(queries, min(alive, max(k + 1, rerank * k)), allowed, own)
        if rerank:
            scores, rows = rescored(queries, rows, k, self.vectors)
        elif self._exact_scores:
            scores, rows = self._with_ties(queries, k, (scores, rows), allowed, own)
        return (scores, rows) if allowed is None else self._filled(queries, k, (scores, rows), allowed)

    def _ask(self, queries: Array, wanted: int, allowed: Allowed | None, values: Mapping[str, int]) -> Hits:
        """The index's own hits."""
        queries = np.ascontiguousarray(queries[:, : self.index.d])
        if isinstance(self._quick, Placed) and (allowed is None or not allowed.filtered):
            placed = self._quick

            def search_there(width: int) -> Hits:
                return placed.search(queries, width, values)

            return search_there(wanted) if allowed is None else self._passing_over(search_there, wanted, allowed)
        if allowed is None or not self._selects:
            parameters = search_parameters(self.index, values) if values else None

            def search(width: int) -> Hits:
                scores, rows = self.index.search(queries, width, params=parameters)
                return scores, rows

            return search(wanted) if allowed is None else self._passing_over(search, wanted, allowed)
        more = effort(self.index, min(self.rows / allowed.count, _MOST_EFFORT), values)
        try:
            found = self.index.search(queries, wanted, params=search_parameters(self.index, more, allowed.selector))
        except RuntimeError as error:
            if "param" not in str(error) and "sel" not in str(error):
                raise
            self._selects = False
            return self._ask(queries, wanted, allowed, values)
        return found[0], found[1]

    def _passing_over(self, search: Callable[[int], Hits], wanted: int, allowed: Allowed) -> Hits:
        """For kinds that cannot be told which rows to pass over: more are asked for until enough are allowed ones."""
        width = wanted
        while True:
            width = min(self.rows, 2 * width * self.rows // allowed.count)
            scores, rows = search(width)
            keep = (rows >= 0) & allowed.mask[rows]
            if width == self.rows or (keep.sum(axis=1) >= wanted).all():
                order = np.argsort(~keep, axis=1, kind="stable")[:, :wanted]
                kept = np.take_along_axis(keep, order, axis=1)
                return (
                    np.where(kept, np.take_along_axis(scores, order, axis=1), -np.inf).astype(np.float32),
                    np.where(kept, np.take_along_axis(rows, order, axis=1), -1),
                )

    def _with_ties(self, queries: Array, k: int, hits: Hits, allowed: Allowed | None, values: Mapping[str, int]) -> Hits:
        """Ask on where the last hit ties with the k-th: which of them is first is decided by their ids."""
        scores, rows = hits
        alive = min(self.rows if allowed is None else allowed.count, max(_MOST_TIES, k))
        while (width := scores.shape[1]) > k and width < alive:
            tied = np.flatnonzero((rows[:, -1] >= 0) & (scores[:, -1] >= scores[:, k - 1]))
            if not len(tied):
                break
            more = self._ask(queries[tied], min(alive, 2 * width), allowed, values)
            scores, rows = padded((scores, rows), more[0].shape[1])
            scores[tied], rows[tied] = more
        return scores, rows

    def _filled(self, queries: Array, k: int, hits: Hits, allowed: Allowed) -> Hits:
        """All allowed rows are scored for queries of which an approximate search brought too few."""
        short = np.flatnonzero((hits[1] >= 0).sum(axis=1) < k)
        if not len(short) or not self._scannable:
            return hits
        more = scan(queries[short], k, allowed.rows, self.vectors)
        width = max(hits[0].shape[1], more[0].shape[1])
        scores, rows = padded(hits, width)
        scores[short], rows[short] = padded(more, width)
        return scores, rows


def copy_file(source: Path, target: Path) -> None:
    """Copy a file of an opened index.

    Raises:
        ArtifactError: another process has removed it since.
    """
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        if source.is_file():
            raise
        raise ArtifactError(f"{source.parent.parent} was changed while it was read; run the command again.") from None


def _open_stored(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.floating[Any]]:
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None
    if stored.shape != shape or stored.dtype.kind != "f":
        raise ArtifactError(f"{path} holds {stored.dtype} {stored.shape}; its manifest says {shape}.")
    checked: npt.NDArray[np.floating[Any]] = stored
    return checked
