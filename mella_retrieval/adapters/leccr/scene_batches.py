"""Stored scenes as batches for the slot module, and their enriched vectors block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from mella_retrieval.adapters.gradient import unit
from mella_retrieval.adapters.heads import Array
from mella_retrieval.adapters.leccr.scenes import Rows, Scenes
from mella_retrieval.adapters.leccr.slot_file import StoredSlots
from mella_retrieval.adapters.leccr.slots import SceneBatch, Slots
from mella_retrieval.errors import ArtifactError

BLOCK = 64
"""Pictures enriched at a time."""

Pooled = Callable[[Rows], Array]
"""Pooled vectors (b, d_v) of some pictures."""


def scene_batch(scenes: Scenes, pooled: Array, rows: Rows) -> SceneBatch:
    """The pictures `rows` of some scenes with their pooled vectors (b, d_v)."""
    tokens, token_mask = map(torch.from_numpy, scenes.image_tokens(rows))
    described, mask = map(torch.from_numpy, scenes.description_tokens(rows))
    sentences, sentence_mask = map(torch.from_numpy, scenes.sentences(rows))
    vectors = torch.from_numpy(np.asarray(pooled, np.float32))
    return SceneBatch(vectors, tokens, token_mask, described, mask, sentences, sentence_mask)


def load_slots(stored: StoredSlots) -> Slots:
    """The slot module of an adapter, in evaluation mode.

    Raises:
        ArtifactError: the weights do not fit its description.
    """
    from safetensors.torch import load

    module = Slots(stored.info.shape)
    try:
        module.load_state_dict(load(stored.data))
    except RuntimeError as error:
        raise ArtifactError(f"the adapter's slots do not have the shape that its configuration says: {error}") from None
    return module.eval()


@torch.no_grad()
def enriched_blocks(module: Slots, scenes: Scenes, pooled: Pooled, rows: Rows) -> Iterator[tuple[Array, Array]]:
    """Global (b, dim) and local vectors (b, n, dim), L2-normalised, of the pictures `rows`, `BLOCK` of them at a time."""
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        out = module(scene_batch(scenes, pooled(block), block).to(module.to_global.weight.device))
        yield unit(out.glob).cpu().numpy(), unit(out.local).cpu().numpy()
