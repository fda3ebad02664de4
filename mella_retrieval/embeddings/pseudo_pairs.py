"""Soft retrieval from a memory bank: the pseudo-pairs of uCLIP, computed once, exactly, and stored.

uCLIP (arXiv 2511.13036) replaces missing pairs by `norm(softmax(q B^T / t) B)`: for a query vector `q`, the average of a bank `B`
weighted by similarity. It depends on frozen vectors only, so it is a constant of the data: training needs no bank.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mella_retrieval.artifacts import writer_lock
from mella_retrieval.embeddings.sets import EmbeddingSet, Selection, Vectors
from mella_retrieval.embeddings.writing import EmbeddingWriter, Shard
from mella_retrieval.errors import DataError, MismatchError

TEMPERATURE = 0.01


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


def store_pseudo_pairs(
    queries: Selection, bank: Selection, out: Path | str, temperature: float = TEMPERATURE, shard_rows: int = 65_536
) -> EmbeddingSet:
    """Pseudo-pairs of every query, as an embedding set in the bank's space whose ids are the queries' ids.

    A set made before from the same vectors is returned as it is; a killed run continues.

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
        made_of = {"queries": queries.fingerprint, "bank": bank.fingerprint, "temperature": temperature}
        job = {"pseudo_pairs": made_of, "shard_rows": shard_rows, "dtype": "float32", "tokens": False}
        writer = EmbeddingWriter(out, bank.source.tower, job)
        current = writer.current()
        if current is not None:
            return current
        writer.open()
        for start in range(writer.rows_done, len(queries), shard_rows):
            part = queries.take(np.arange(start, min(start + shard_rows, len(queries))))
            found = soft_retrieve(part.vectors, bank.vectors, temperature)
            writer.add(Shard(found, {"id": part.ids}), inputs=len(found))
        return writer.finish()
