"""Stored vectors as training reads them: by row numbers, as tensors on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mella_retrieval.embeddings.mapped import MappedRows, VectorRows

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SHARE = 0.5
"""Of a device's free memory that one side's vectors may take."""


class Stored:
    """Vectors (n, d): on the device as a whole where they fit, else gathered batch by batch from memory or from disk.

    Args:
        vectors: in memory or memory-mapped.
        device: where batches are wanted.
    """

    def __init__(self, vectors: VectorRows, device: torch.device) -> None:
        import torch

        self._vectors, self._device = vectors, device
        self._whole: Tensor | None = None
        if not isinstance(vectors, MappedRows) and _fits(vectors.nbytes, device):
            self._whole = torch.from_numpy(np.ascontiguousarray(vectors, np.float32)).to(device)

    def __len__(self) -> int:
        return len(self._vectors)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Rows (b,) as a float32 tensor (b, d) on the device."""
        if self._whole is not None:
            return self._whole[rows.to(self._whole.device)]
        import torch

        return torch.from_numpy(self._vectors[rows.cpu().numpy()]).to(self._device)


def _fits(size: int, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    import torch

    return size <= SHARE * torch.cuda.mem_get_info(device)[0]
