"""Settings that every embedding job shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from mella_retrieval.recipes import Strict

Progress = Callable[[int, int], None]
"""Called with (inputs done, inputs in all)."""


class EmbedSettings(Strict):
    """How an embedding set is made.

    Attributes:
        batch_size: inputs per forward pass; None begins with 64. Either is halved where memory does not suffice.
        shard_rows: inputs per shard; a killed job loses at most one shard's work.
        dtype: stored precision of the vectors.
        workers: threads that read, decode and prepare pictures ahead of the model.
        tokens: store token vectors beside the pooled ones.
    """

    batch_size: int | None = Field(default=None, ge=1)
    shard_rows: int = Field(default=4096, ge=1)
    dtype: Literal["float32", "float16"] = "float32"
    workers: int = Field(default=2, ge=1)
    tokens: bool = False
