"""What an index has to do: the memory it may take, the recall it must reach, whether items will be deleted."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import Strict
from mella_retrieval.sizes import parse_size


def _valid_size(value: str | int) -> str | int:
    try:
        parse_size(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return value


class AutoConfig(Strict):
    """What a recipe with `factory: auto` asks for.

    Attributes:
        memory: what searching may keep in memory: codes, graph, centroids and the table of ids (`4GB`, `500MB`, or bytes).
            Vectors that lie on disk for re-ranking do not count: they are mapped, and only the few that are scored are read.
        recall: wanted recall@10, the share of the ten true neighbours that is found.
        deletes: items will be deleted or replaced now and then. Every kind can delete, but what was deleted takes its memory
            until the index is compacted: room for one such item beside ten living ones is then kept within the budget.
    """

    memory: Annotated[str | int, Field(union_mode="left_to_right"), AfterValidator(_valid_size)] = "4GB"
    recall: float = Field(default=0.95, gt=0, le=1)
    deletes: bool = True

    @property
    def memory_bytes(self) -> int:
        """The budget in bytes."""
        return parse_size(self.memory)
