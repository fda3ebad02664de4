"""The largest batch that fits into memory, found by trying."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable

from mella_retrieval.errors import EncoderError

logger = logging.getLogger(__name__)

# What torch says where it raises a plain RuntimeError: its CPU allocator, cuBLAS / cuDNN at start, Apple's MPS.
_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the device or of the machine, was not enough."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _PHRASES)


def find_batch_size(run: Callable[[int], object], start: int, *, minimum: int = 1) -> int:
    """The largest of `start`, `start // 2`, `start // 4` ... for which `run(size)` does not run out of memory.

    Raises:
        EncoderError: not even `minimum` fits. Any other error of `run` is passed on.
    """
    if not 1 <= minimum <= start:
        raise ValueError(f"start ({start}) must be at least minimum ({minimum}), and minimum at least 1")
    size = start
    while not _fits(run, size):
        smaller = max(size // 2, minimum)
        if smaller == size:
            raise EncoderError(
                f"memory is not enough for a batch of {size}; use a smaller model, precision bf16, or another device."
            )
        logger.info("a batch of %d does not fit into memory; trying %d", size, smaller)
        size = smaller
    return size


def _fits(run: Callable[[int], object], size: int) -> bool:
    try:
        run(size)
        return True
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    _free()  # after the handler, whose traceback kept the failed batch's tensors alive
    return False


def _free() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
