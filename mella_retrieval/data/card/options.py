"""What only a person can say about a record set."""

from __future__ import annotations

import datetime

from pydantic import Field

from mella_retrieval.recipes import Strict


class CardOptions(Strict):
    """Facts for a card that are not in the data; what is left out is marked in the card as to be filled in.

    Attributes:
        name: of the data; the folder's name without one.
        description: a sentence or two.
        licence: of the set as a whole: an identifier of the hub or SPDX (`cc-by-4.0`), or the address of its text.
        citation: how to cite it, BibTeX for instance.
        url: where it is published.
        contact: whom to write to.
        published: day of publication.
        version: `1.0.0`.
    """

    name: str = ""
    description: str = ""
    licence: str = ""
    citation: str = ""
    url: str = Field(default="", pattern=r"^(https?://[^\s<>\"]+)?$")
    contact: str = ""
    published: datetime.date | None = None
    version: str = Field(default="", pattern=r"^(\d+\.\d+\.\d+)?$")
