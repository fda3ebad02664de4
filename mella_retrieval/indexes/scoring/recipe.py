"""What an index recipe says of the hubness correction that the index serves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from mella_retrieval.recipes import Strict


class ScoringRecipe(Strict):
    """A correction that an index applies to every search by text.

    Attributes:
        method: `nnn`, `csls` or `inverted-softmax`.
        options: of the method (`neighbours`, `weight`, `sharpness`); published values otherwise.
        place: where the bias of an item lies. `fold`: in the vectors that FAISS searches, so that candidates are chosen by it.
            `rerank`: only in the stored vectors, so that it counts when candidates are scored again. `auto`: folded, but for
            kinds of index that are not known to take it.
        offset: taken from every bias before it is stored and given back in the scores: small numbers lose less in codes. By
            default the mean bias of a sample of the first build; indexes that are to be merged need the same.
        scale: how far the biases are stretched where they are stored, for codes that treat all columns alike. By default 1 for
            kinds that keep each column by itself, else what loses least; indexes that are to be merged need the same.
    """

    method: str
    options: dict[str, int | float] = Field(default_factory=dict)
    place: Literal["auto", "fold", "rerank"] = "auto"
    offset: float | None = None
    scale: PositiveFloat | None = None
