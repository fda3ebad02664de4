"""FAISS files that another program wrote: what they must be so that an index can go on with them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.mapped import free_memory
from mella_retrieval.errors import ArtifactError, ConfigError, DataError
from mella_retrieval.indexes.kinds import holds_vectors, innermost, read_copy, read_index, reason, set_parameters, write_index
from mella_retrieval.indexes.library import faiss

Array = npt.NDArray[np.float32]

BUILD = "build an index from the vectors instead (`mella index build`)"

_INFOS = ("infos.json", "index_infos.json")
_PROBES = 4
_SMALL = 1 << 26


@dataclass(frozen=True)
class ForeignIndex:
    """A checked FAISS file.

    Attributes:
        path: the file.
        index: opened, memory-mapped; row i is its vector i. Without the numbering (`IDMap`) that may have been around it.
        wrapped: whether there was one, so that the file as it is will not do.
        factory: what kind it is, in the words of FAISS's factory.
        search: search parameters that its maker chose (autofaiss writes them beside the file).
    """

    path: Path
    index: Any
    wrapped: bool
    factory: str
    search: dict[str, int]

    @classmethod
    def open(cls, path: Path) -> ForeignIndex:
        """Open a file and check what can be checked without its vectors.

        Raises:
            DataError: missing, damaged or empty; another metric than the inner product; rows that are numbered otherwise than
                0, 1, 2 ...; inverted lists in another file.
        """
        outer = _opened(path)
        index, wrapped = _unwrapped(path, outer)
        if index.metric_type != faiss().METRIC_INNER_PRODUCT:
            raise DataError(
                f"{path} compares by the metric {_metric(index)}, and this program by inner products of unit vectors: {BUILD}."
            )
        if not index.ntotal:
            raise DataError(f"{path} holds no vectors.")
        if not index.is_trained:
            raise DataError(f"{path} is not trained: {BUILD}.")
        _check_lists(path, index)
        try:
            index.search(np.eye(1, index.d, dtype=np.float32), 1)
        except (RuntimeError, MemoryError) as error:
            raise DataError(f"{path} cannot be searched: {reason(error)}. It is damaged.") from None
        infos = _infos(path)
        return cls(path, index, wrapped, _factory(index, infos), _search(index, infos))

    @property
    def exact(self) -> bool:
        """Whether the vectors lie in it as they are."""
        return holds_vectors(self.index)

    @property
    def gives_vectors(self) -> bool:
        """Whether it can say what its codes stand for. FAISS (1.15) crashes over inverted lists in fast-scan blocks."""
        return not isinstance(innermost(self.index), faiss().IndexIVFFastScan)

    def write_empty(self, path: Path) -> None:
        """Write the same index without vectors, but with all it learnt.

        Raises:
            DataError: it is of a kind that takes no further vectors.
        """
        write_index(_emptied(self.path), path)
        probe = read_copy(path)
        vectors = np.random.default_rng(0).normal(size=(_PROBES, probe.d)).astype(np.float32)
        try:
            probe.add(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        except RuntimeError as error:
            raise DataError(
                f"{self.path} is of a kind ({self.factory}) that takes no further vectors ({reason(error)}): {BUILD}."
            ) from None


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    try:
        if path.stat().st_size <= max(_SMALL, free_memory() // 2):
            # FAISS (1.15) checks the bounds of the file only when it reads into memory: memory-mapped, a file that was cut short
            # crashes it where the cut is within a header, and lacks its last bytes unnoticed.
            read_copy(path)
        return read_index(path)
    except (ArtifactError, MemoryError) as error:
        raise DataError(f"{path} is no FAISS index, or was cut short or damaged: {error}") from None


def _unwrapped(path: Path, outer: Any) -> tuple[Any, bool]:
    """The index inside an `IDMap` that numbers its vectors as they come."""
    found = faiss().downcast_index(outer)
    if not isinstance(found, faiss().IndexIDMap):
        return outer, False
    if not np.array_equal(faiss().vector_to_array(found.id_map), np.arange(found.ntotal)):
        raise DataError(f"{path} numbers its vectors otherwise than 0, 1, 2 ..., so its rows are not known: {BUILD}.")
    inner = faiss().downcast_index(found.index)
    inner.referenced_objects = [outer]  # which owns it
    return inner, True


def _lists(index: Any) -> Any:
    """The index with inverted lists at the bottom, or None."""
    found = innermost(index)
    while isinstance(found, faiss().IndexRefine):
        found = innermost(found.base_index)
    return found if isinstance(found, faiss().IndexIVF) else None


def _check_lists(path: Path, index: Any) -> None:
    if isinstance(innermost(index), faiss().IndexIDMap):
        raise DataError(f"{path} numbers its vectors below a transform, which is not understood: {BUILD}.")
    inverted = _lists(index)
    if inverted is None:
        return
    lists = faiss().downcast_InvertedLists(inverted.invlists)
    if isinstance(lists, faiss().OnDiskInvertedLists):
        raise DataError(
            f"{path} keeps its inverted lists in another file ({Path(lists.filename).name}): join them into one with FAISS "
            "(replace_invlists by ArrayInvertedLists), or build an index from the vectors (`mella index build`)."
        )
    sizes = [lists.list_size(number) for number in range(lists.nlist)]
    if sum(sizes) != index.ntotal:
        raise DataError(f"{path} is damaged: it is to hold {index.ntotal:,} vectors, but its lists hold {sum(sizes):,}.")
    seen = np.zeros(index.ntotal, dtype=bool)
    for number, size in enumerate(sizes):
        if size:
            ids = faiss().rev_swig_ptr(lists.get_ids(number), size)
            seen[ids[(ids >= 0) & (ids < len(seen))]] = True
    if not seen.all():
        raise DataError(
            f"{path} has no vector with the number {int(np.argmin(seen))} though it has {len(seen):,}: its vectors are numbered "
            f"otherwise than 0, 1, 2 ..., so its rows are not known; {BUILD}."
        )


def _metric(index: Any) -> str:
    names = {value: name for name, value in vars(faiss()).items() if name.startswith("METRIC_")}
    return str(names.get(index.metric_type, index.metric_type)).removeprefix("METRIC_")


def _emptied(path: Path) -> Any:
    """A fresh copy without vectors; the kinds that may be larger than memory are not read as a whole for it."""
    library, index = faiss(), _unwrapped(path, _opened(path))[0]
    found = innermost(index)
    if isinstance(index, library.IndexHNSWFlat):
        made = library.IndexHNSWFlat(index.d, index.hnsw.nb_neighbors(1), library.METRIC_INNER_PRODUCT)
        made.hnsw.efConstruction, made.hnsw.efSearch = index.hnsw.efConstruction, index.hnsw.efSearch
        return made
    if isinstance(index, library.IndexFlat):
        return library.IndexFlatIP(index.d)
    if isinstance(found, library.IndexIVF) and type(library.downcast_InvertedLists(found.invlists)) is library.ArrayInvertedLists:
        lists = library.ArrayInvertedLists(found.nlist, found.code_size)
        found.replace_invlists(lists, True)
        lists.this.disown()
        found.set_direct_map_type(library.DirectMap.NoMap)
        for level in _levels(index):
            level.ntotal = 0
        return index
    made = _unwrapped(path, read_copy(path))[0]
    made.reset()
    return made


def _levels(index: Any) -> list[Any]:
    """The index and those below its transforms; each counts the vectors for itself."""
    levels = [faiss().downcast_index(index)]
    while isinstance(levels[-1], faiss().IndexPreTransform):
        levels.append(faiss().downcast_index(levels[-1].index))
    return levels


def _factory(index: Any, infos: dict[str, Any]) -> str:
    """The kind in the words of FAISS's factory; where FAISS cannot say, what autofaiss wrote, or the name of the class."""
    from faiss.contrib.factory_tools import reverse_index_factory

    try:
        return str(reverse_index_factory(index))
    except (NotImplementedError, AttributeError, RuntimeError):
        return str(infos.get("index_key") or type(faiss().downcast_index(index)).__name__)


def _infos(path: Path) -> dict[str, Any]:
    """What autofaiss wrote beside the file: `index_key`, `index_param` ..."""
    for file in (path.with_suffix(".json"), *(path.with_name(name) for name in _INFOS)):
        try:
            found = json.loads(file.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def _search(index: Any, infos: dict[str, Any]) -> dict[str, int]:
    """`index_param` ("nprobe=16,ht=2048") as far as this kind of index knows it."""
    values = {}
    for name, value in re.findall(r"(\w+)=(\d+)", str(infos.get("index_param") or "")):
        try:
            set_parameters(index, "", {name: int(value)})
        except ConfigError:
            continue
        if int(value):
            values[name] = int(value)
    return values
