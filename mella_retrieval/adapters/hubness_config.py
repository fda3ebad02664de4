"""Options of hubness correction, which every method's recipe may carry."""

from __future__ import annotations

from pydantic import Field

from mella_retrieval.recipes import Strict


class HubnessConfig(Strict):
    """How strongly, and against what, hubs are pushed down (the defaults rank like CSLS; methods.md, section 7).

    Attributes:
        weight: of the mean similarity to the nearest bank vectors that is taken off.
        neighbours: how many of them.
        bank: at most so many reference vectors are kept on each side, drawn with the run's seed.
        texts: also correct texts by a bank of pictures, for image -> text; needs image vectors.
    """

    weight: float = Field(default=0.5, gt=0, le=2)
    neighbours: int = Field(default=10, ge=1)
    bank: int = Field(default=2048, ge=1)
    texts: bool = True
