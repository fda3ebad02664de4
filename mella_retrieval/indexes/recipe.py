"""How vectors are stored and searched: what a YAML file in `indexes/` says."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from mella_retrieval.indexes.auto.needs import AutoConfig
from mella_retrieval.indexes.devices import GpuOptions
from mella_retrieval.indexes.scoring.recipe import ScoringRecipe
from mella_retrieval.recipes import Strict

RERANK = "rerank"
"""Among the search parameters: ours, all others are FAISS's."""


class IndexRecipe(Strict):
    """How vectors are stored and searched.

    Attributes:
        factory: `auto`, or a FAISS factory string (`Flat`, `HNSW32`, `IVF256,Flat`, `OPQ64,IVF256,PQ64x4fs` ...); inner product
            of unit vectors.
        search: FAISS search parameters by name (`efSearch`, `nprobe` ...).
        build: FAISS parameters of building (`efConstruction` ...).
        train_rows: how many vectors a trained index learns from.
        store: whether the vectors lie beside FAISS's codes as they are, for re-ranking, filters and compaction; on disk, never
            loaded as a whole. `auto`: as float16 where the codes alone lose precision, else not at all.
        rerank: candidates per wanted hit that are scored again from the vectors as they are; 0 takes FAISS's scores.
        scoring: the hubness correction that searches get; it needs a bank of reference queries where the index is built.
        auto: for `factory: auto`, what the index has to do.
        gpu: how it lies on GPUs where it is built or searched there.
    """

    factory: str = "Flat"
    search: dict[str, PositiveInt] = Field(default_factory=dict)
    build: dict[str, PositiveInt] = Field(default_factory=dict)
    train_rows: int = Field(default=262_144, ge=1)
    store: Literal["auto", "none", "float16", "float32"] = "auto"
    rerank: NonNegativeInt = 0
    scoring: ScoringRecipe | None = None
    auto: AutoConfig | None = None
    gpu: GpuOptions = GpuOptions()
