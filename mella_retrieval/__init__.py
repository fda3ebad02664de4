"""mella-retrieval: give any image collection search in any language.

Public names are imported when they are first used, so that `import mella_retrieval` and `mella --help` stay instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.data.records import Records
    from mella_retrieval.embeddings.sets import EmbeddingSet
    from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
    from mella_retrieval.errors import MellaError
    from mella_retrieval.indexes.index import Index
    from mella_retrieval.retriever import Hit, Retriever

__version__ = "0.1.0"

_HOMES = {
    "Adapter": "adapters.adapter",
    "EmbeddingSet": "embeddings.sets",
    "Hit": "retriever",
    "Index": "indexes.index",
    "MellaError": "errors",
    "Records": "data.records",
    "Retriever": "retriever",
    "load_image_tower": "encoders.loading",
    "load_text_tower": "encoders.loading",
}

__all__ = [
    "Adapter",
    "EmbeddingSet",
    "Hit",
    "Index",
    "MellaError",
    "Records",
    "Retriever",
    "__version__",
    "load_image_tower",
    "load_text_tower",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"mella_retrieval.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mella_retrieval' has no attribute {name!r}")
