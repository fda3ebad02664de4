"""OpenGraph: the pictures by which a page wants to be shown, and what it calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

STARTS = ("og:image", "og:image:url")
"""Properties that begin a picture; those that follow describe it."""


@dataclass(slots=True)
class OpenGraphImage:
    """One `og:image` with what stands after it.

    Attributes:
        at: which of the properties began it.
        address: absolute.
        alt: `og:image:alt`; of the first picture, if it has none, `og:title`.
    """

    at: int
    address: str
    alt: str = ""
    width: str = ""
    height: str = ""


def images(properties: Sequence[tuple[str, str]], resolve: Callable[[str], str]) -> list[OpenGraphImage]:
    """The pictures among the (property, content) pairs of a page, in order.

    The title speaks about the page, so that it is given to one picture only: the first is the one that the page prefers.
    """
    found: list[OpenGraphImage] = []
    for at, (name, content) in enumerate(properties):
        if name in STARTS:
            address = resolve(content)
            if address and not (found and found[-1].address == address):
                found.append(OpenGraphImage(at, address))
        elif found and name.startswith("og:image:"):
            part = name.removeprefix("og:image:")
            if part in {"alt", "width", "height"} and not getattr(found[-1], part):
                setattr(found[-1], part, content)
    if found and not found[0].alt.strip():
        found[0].alt = next((content for name, content in properties if name == "og:title" and content.strip()), "")
    return found
