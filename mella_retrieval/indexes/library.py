"""The one place where FAISS is imported: it is an optional dependency with two wheels that own the same module."""

from __future__ import annotations

from typing import Any

from mella_retrieval.errors import ConfigError, MissingDependencyError


def faiss() -> Any:
    """The module `faiss`.

    Raises:
        MissingDependencyError: neither wheel is installed.
    """
    try:
        import faiss as module
    except ImportError as error:
        raise MissingDependencyError(
            "FAISS is not installed: run `pip install mella-retrieval[cpu]`, or `pip install mella-retrieval[gpu]` on Linux with "
            f"an NVIDIA GPU (one of them, never both). ({error})"
        ) from None
    return module


def to_device(index: Any, device: str) -> Any:
    """A FAISS index where it is to be searched.

    Args:
        index: on the processor.
        device: `cpu` (the index itself), `cuda` or `cuda:N` (a copy on that GPU).

    Raises:
        ConfigError: another kind of device.
        MissingDependencyError: the installed FAISS has no GPU support, or sees no such GPU.
    """
    if device == "cpu":
        return index
    name, _, number = device.partition(":")
    if name != "cuda" or not (number or "0").isdigit():
        raise ConfigError(f"FAISS searches on cpu, cuda or cuda:N, not on {device!r}.")
    found = faiss().get_num_gpus() if hasattr(faiss(), "StandardGpuResources") else 0
    if int(number or 0) >= found:
        raise MissingDependencyError(
            f"the installed FAISS sees {found} GPUs, so there is no {device}: run `pip install mella-retrieval[gpu]` instead of "
            "[cpu] on Linux with an NVIDIA GPU, or use --device cpu."
        )
    return faiss().index_cpu_to_gpu(faiss().StandardGpuResources(), int(number or 0), index)
