"""Soft retrieval from a memory bank: the pseudo-pairs of uCLIP, computed once, exactly, and stored.

uCLIP (arXiv 2511.13036) replaces missing pairs by `norm(softmax(q B^T / t) B)`: for a query vector `q`, the average of a bank `B`
weighted by similarity. It depends on frozen vectors only, so it is a constant of the data: training needs no bank.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mella_retrieval.artifacts import writer_lock
from mella_retrieval.embeddings.neighbours import nearest
from mella_retrieval.embeddings.sets import EmbeddingSet, Selection, Vectors
from mella_retrieval.embeddings.writing import EmbeddingWriter, Shard
from mella_retrieval.errors import DataError, MismatchError

TEMPERATURE = 0.01
TOP_BLOCK = 128
"""Queries whose nearest bank rows are held in memory at a time."""

MEASURED = 256
"""Queries on which the error of an approximation is measured."""

log = logging.getLogger(__name__)


def soft_retrieve(queries: Vectors, bank: Vectors, temperature: float = TEMPERATURE, block: int = 1024) -> Vectors:
    """Exact soft retrieval in blocks.

    Args:
        queries: (n, d), L2-normalised.
        bank: (m, d), L2-normalised; a memory map is read block by block.
        temperature: of the softmax over the bank.
        block: queries and bank rows that are held at a time; memory is block x block.

    Returns:
        (n, d), L2-normalised.
    """
    result = np.empty((len(queries), bank.shape[1]), np.float32)
    for start in range(0, len(queries), block):
        part = np.asarray(queries[start : start + block], np.float64)
        # The softmax in one pass over the bank: sums are rescaled whenever a larger similarity turns up.
        highest = np.full(len(part), -np.inf, np.float64)
        total = np.zeros((len(part), bank.shape[1]), np.float64)
        for begin in range(0, len(bank), block):
            # In float64: a temperature of 0.01 makes the rounding of a float32 product a hundred times larger.
            rows = np.asarray(bank[begin : begin + block], np.float64)
            logits = part @ rows.T / temperature
            new = np.maximum(highest, logits.max(axis=1))
            total *= np.exp(highest - new)[:, None]
            total += np.exp(logits - new[:, None]) @ rows
            highest = new
        # The softmax's denominator falls out when the average is normalised.
        result[start : start + block] = total / np.linalg.norm(total, axis=1, keepdims=True)
    return result


def soft_retrieve_top(queries: Vectors, bank: Vectors, top: int, temperature: float = TEMPERATURE) -> Vectors:
    """Soft retrieval from the `top` most similar bank rows alone: an approximation (see `measure_top`)."""
    result = np.empty((len(queries), bank.shape[1]), np.float32)
    for start in range(0, len(queries), TOP_BLOCK):
        rows, logits = nearest(queries[start : start + TOP_BLOCK], bank, top)
        weights = np.exp((logits.astype(np.float64) - logits[:, :1]) / temperature)
        total = np.einsum("nk,nkd->nd", weights, bank[rows])
        result[start : start + TOP_BLOCK] = total / np.linalg.norm(total, axis=1, keepdims=True)
    return result


@dataclass(frozen=True)
class TopError:
    """What is lost by looking at the nearest bank rows only, over some queries.

    Attributes:
        mass: mean share of the softmax that falls on the nearest rows.
        cosine: mean cosine between the approximate and the exact soft retrieval; `least` the smallest.
    """

    top: int
    mass: float
    cosine: float
    least: float


def measure_top(queries: Vectors, bank: Vectors, top: int, temperature: float = TEMPERATURE) -> TopError:
    """The error of `soft_retrieve_top`, measured against the exact result. Shapes as `soft_retrieve`."""
    exact, near = soft_retrieve(queries, bank, temperature), soft_retrieve_top(queries, bank, top, temperature)
    top = min(top, len(bank))
    mass = []
    for start in range(0, len(queries), 16):
        logits = (queries[start : start + 16] @ bank.T).astype(np.float64) / temperature
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        mass.append(np.partition(shares, len(bank) - top, axis=1)[:, -top:].sum(axis=1) / shares.sum(axis=1))
    cosines = np.einsum("nd,nd->n", exact, near)
    return TopError(top, float(np.concatenate(mass).mean()), float(cosines.mean()), float(cosines.min()))


def store_pseudo_pairs(
    queries: Selection,
    bank: Selection,
    out: Path | str,
    temperature: float = TEMPERATURE,
    shard_rows: int = 65_536,
    top: int | None = None,
) -> EmbeddingSet:
    """Pseudo-pairs of every query, as an embedding set in the bank's space whose ids are the queries' ids.

    A set made before from the same vectors is returned as it is; a killed run continues. With `top` only so many nearest bank
    rows are averaged; the error of that, measured on up to 256 queries, is logged.

    Raises:
        MismatchError: queries and bank have different dimensions.
        DataError: no queries, or an empty bank.
    """
    for what, chosen in (("queries", queries), ("bank", bank)):
        if not len(chosen):
            raise DataError(f"the {what} of the pseudo-pairs {out} are empty: no row of {chosen.source.folder} was chosen.")
    if queries.source.dim != bank.source.dim:
        raise MismatchError(
            f"{queries.source.folder} ({queries.source.tower.spec}, {queries.source.dim} dimensions) and {bank.source.folder} "
            f"({bank.source.tower.spec}, {bank.source.dim} dimensions) are not in one space."
        )
    out = Path(out)
    with writer_lock(out):
        made_of = {"queries": queries.fingerprint, "bank": bank.fingerprint, "temperature": temperature, "top": top}
        job = {"pseudo_pairs": made_of, "shard_rows": shard_rows, "dtype": "float32", "tokens": False}
        writer = EmbeddingWriter(out, bank.source.tower, job)
        current = writer.current()
        if current is not None:
            return current
        writer.open()
        if top:
            _log_error(queries, bank, top, temperature)
        for start in range(writer.rows_done, len(queries), shard_rows):
            part = queries.take(np.arange(start, min(start + shard_rows, len(queries))))
            if top:
                found = soft_retrieve_top(part.vectors, bank.vectors, top, temperature)
            else:
                found = soft_retrieve(part.vectors, bank.vectors, temperature)
            writer.add(Shard(found, {"id": part.ids}), inputs=len(found))
        return writer.finish()


def _log_error(queries: Selection, bank: Selection, top: int, temperature: float) -> None:
    sample = queries.take(np.linspace(0, len(queries) - 1, min(MEASURED, len(queries))).astype(np.int64))
    error = measure_top(sample.vectors, bank.vectors, top, temperature)
    log.warning(
        "pseudo-pairs from the %d nearest of %d bank vectors are an approximation: they hold %.3f of the softmax, and the mean "
        "cosine with the exact ones is %.4f (least %.4f, %d queries)",
        *(top, len(bank), error.mass, error.cosine, error.least, len(sample)),
    )
