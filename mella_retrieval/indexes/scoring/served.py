"""Hubness corrections that an index serves: the bias of each item in a further column of its vector.

An item is stored as `[g, s (b - offset), 0 ...]` and a query is asked as `[q, 1 / s, 0 ...]`: their inner product is
`S(q, g) + b` up to the offset, which the search gives back. An offset in the middle of the biases keeps the vectors near unit
length, so that float16 and quantisers lose little. Nothing bounds a bias: what is added later may have a greater one than all
before. The reference queries lie in the index, so that such items get their bias from the same ones.

Codes that spread their error over all columns alike (rotations with one bit a column, parts of a product quantiser) lose in
proportion to the lengths of both vectors, `sqrt(1 + s^2 v) sqrt(1 + 1 / s^2)` for biases of variance v: least at `s = v^(-1/4)`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mella_retrieval.embeddings.imports import normalised
from mella_retrieval.errors import ArtifactError, ConfigError, DataError
from mella_retrieval.indexes.manifest import BANK, FileEntry, IndexManifest, ScoringEntry
from mella_retrieval.indexes.recipe import RERANK, IndexRecipe
from mella_retrieval.indexes.scoring.bank import Array, Bank
from mella_retrieval.indexes.scoring.methods import SCORING
from mella_retrieval.recipes import build_config, suggest

_BLOCK = 16_384
_LISTS = r"(?:IVF\d+(?:_HNSW\d*)?,|HNSW\d*[,_]|HNSW\d*$)?"
_KEPT = re.compile(rf"{_LISTS}(?:Flat|SQ\w+)?")
"""Kinds that keep every column by itself."""

_TURNED = r"(?:(?:RR|PCAR?)\d*,)?"
_PARTS = r"PQ(\d+)(?:x\d+)?(?:fsr?)?(?:_\d+)?(?:np)?"
_MIXED = re.compile(rf"(?:OPQ(\d+)(?:_\d+)?,|{_TURNED}){_LISTS}(?:Flat|SQ\w+|RaBitQ\w*|{_PARTS})")
"""Kinds that mix the columns, or cut them into parts of equal length; inner products stay."""


def refuse_unserved(recipe: IndexRecipe, bank: Bank | None) -> None:
    """Check what can be checked before any vector is read.

    Raises:
        ConfigError: a bank without a correction or the other way round, an unknown method or option, a method that no index can
            serve, or a place that does not fit the recipe.
    """
    scoring = recipe.scoring
    if scoring is None:
        if bank is not None:
            raise ConfigError("a bank of reference queries was given, but the recipe names no correction (scoring.method=csls).")
        return
    if bank is None:
        raise ConfigError(f"{scoring.method} needs a bank of reference queries, texts like those to be asked (--bank TEXTS).")
    _config(scoring.method, scoring.options)
    place_of(recipe)


def place_of(recipe: IndexRecipe) -> Literal["fold", "rerank"]:
    """Where the bias lies: resolves `auto`.

    Raises:
        ConfigError: this kind of index cannot serve a correction there.
    """
    wanted = recipe.scoring.place if recipe.scoring else "auto"
    folds = _KEPT.fullmatch(recipe.factory) or _MIXED.fullmatch(recipe.factory)
    if folds and wanted != "rerank":
        return "fold"
    if wanted == "fold":
        raise ConfigError(
            f"{recipe.factory} is not known to keep the bias of a correction in its codes: serve it at re-ranking "
            "(scoring.place=rerank)."
        )
    if not recipe.rerank or recipe.store == "none":
        raise ConfigError(
            f"{recipe.factory} can serve a correction only when it scores candidates again: set rerank (rerank=10) and keep the "
            "vectors (store=float16)."
        )
    return "rerank"


def folded_queries(queries: Array, entry: ScoringEntry, parameters: Mapping[str, int], *, corrected: bool) -> Array:
    """Queries (q, d) as the index takes them, (q, columns); L2-normalised, as a bias belongs to a cosine.

    Args:
        queries: in the index's space.
        entry: what the manifest says of the correction.
        parameters: search parameters of this call.
        corrected: False gives plain cosines from the same index.

    Raises:
        DataError: a zero vector.
        ConfigError: re-ranking is switched off, where the correction lies there.
    """
    if corrected and entry.place == "rerank" and parameters.get(RERANK, 1) < 1:
        raise ConfigError("this index corrects at re-ranking: rerank=0 would leave its correction out. Ask with corrected=False.")
    folded = np.zeros((len(queries), entry.columns), np.float32)
    folded[:, : queries.shape[1]] = normalised(queries, queries.shape[1], "the queries")
    folded[:, queries.shape[1]] = corrected / entry.scale
    return folded


@dataclass(frozen=True)
class ServedScoring:
    """A correction with its reference queries, ready to fold items.

    Attributes:
        entry: what the manifest says of it.
        bank: (m, d), L2-normalised.
    """

    entry: ScoringEntry
    bank: Array

    @classmethod
    def begin(cls, folder: Path, recipe: IndexRecipe, bank: Bank, items: Array) -> ServedScoring:
        """Write the reference queries into a new index.

        Args:
            folder: of the index.
            recipe: with a correction that `refuse_unserved` let pass.
            bank: reference queries.
            items: (n, d) some items of the index, whose biases tell offset and scale.

        Raises:
            DataError: no items, a bank that is empty or too small, of another dimension, with NaN or zero vectors.
        """
        scoring, dim = recipe.scoring, items.shape[1]
        if scoring is None or not len(items):
            raise DataError("there are no items to be corrected.")
        vectors = np.concatenate(list(bank.blocks(dim, _BLOCK)))
        path = folder / BANK
        path.parent.mkdir()
        np.save(path, vectors)
        entry = ScoringEntry(
            method=scoring.method,
            options=_config(scoring.method, scoring.options).model_dump(),
            place=(place := place_of(recipe)),
            offset=0.0,
            scale=1.0,
            columns=_columns(recipe.factory, dim) if place == "fold" else dim + 1,
            transductive=bank.transductive,
            bank=FileEntry.of(path),
        )
        biases = cls(entry, vectors).biases(items)  # a bank that is too small is noticed here, whatever the recipe says
        offset = float(biases.mean(dtype=np.float64)) if scoring.offset is None else scoring.offset
        scale = scoring.scale or (_scale(biases, dim) if place == "fold" and not _KEPT.fullmatch(recipe.factory) else 1.0)
        return cls(entry.model_copy(update={"offset": offset, "scale": scale}), vectors)

    @classmethod
    def open(cls, folder: Path, manifest: IndexManifest) -> ServedScoring | None:
        """The correction of an index; None where it serves none.

        Raises:
            ArtifactError: the reference queries cannot be read.
        """
        if manifest.scoring is None:
            return None
        try:
            bank = np.load(folder / BANK, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{folder / BANK} cannot be read: {error}") from None
        return cls(manifest.scoring, bank)

    def biases(self, items: Array) -> Array:
        """(n,) the bias of each item (n, d), float32."""
        config = _config(self.entry.method, self.entry.options)
        return SCORING[self.entry.method].fit(items, Bank(self.bank), config).bias

    def fold(self, items: Array) -> Array:
        """Items (n, d) of unit length as they are stored: (n, columns)."""
        folded = np.zeros((len(items), self.entry.columns), np.float32)
        folded[:, : items.shape[1]] = items
        folded[:, items.shape[1]] = (self.biases(items) - np.float32(self.entry.offset)) * np.float32(self.entry.scale)
        return folded


def _columns(factory: str, dim: int) -> int:
    """Columns of a folded vector: one more than the dimension, up to what a product quantiser divides."""
    found = _MIXED.fullmatch(factory)
    step = math.lcm(*(int(parts) for parts in found.groups() if parts)) if found else 1
    return -(-(dim + 1) // step) * step


def _scale(biases: Array, dim: int) -> float:
    """Where codes that treat all columns alike lose least, within what any column may weigh."""
    spread = float(biases.std(dtype=np.float64))
    return min(math.sqrt(dim), max(1.0, spread**-0.5)) if spread else 1.0


def _config(method: str, options: Mapping[str, Any]) -> Any:
    if method not in SCORING:
        raise ConfigError(f"there is no scoring {method!r}.{suggest(method, SCORING)} Known: {', '.join(SCORING)}.")
    if not SCORING[method].folds:
        raise ConfigError(
            f"{method} cannot be served by an index: its gate looks at each query's first hit, and its hubs change with every "
            "item that is added. Its ungated form is inverted-softmax."
        )
    return build_config(SCORING[method].config, options, f"the options of {method}")
