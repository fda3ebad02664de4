"""The one place where FAISS is imported: it is an optional dependency with two wheels that own the same module."""

from __future__ import annotations

from typing import Any

from mella_retrieval.errors import MissingDependencyError


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
