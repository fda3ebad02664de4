"""The real address of a picture on a page: of lazy ones the one that a script would load, of several sizes the largest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from mella_retrieval.data.collect.addresses import is_data

Attributes = Mapping[str, str | None]

# What scripts for lazy loading read, by the names that are in wide use.
LAZY = (
    "data-src", "data-original", "data-lazy-src", "data-lazy", "data-original-src", "data-actualsrc", "data-img-src",
    "data-image", "data-echo", "data-hi-res-src", "data-full-src",
)  # fmt: skip
LAZY_SETS = ("data-srcset", "data-lazy-srcset", "data-original-set", "lazy-srcset")

_ADDRESS = re.compile(r"[\s,]*+([^\s]++)")
_DESCRIPTOR = re.compile(r"\s*+((?:[^,(]|\([^)]*+\)?+)*+)(?:,|$)")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def real_address(image: Attributes, sources: Sequence[Attributes], resolve: Callable[[str], str]) -> str:
    """The address of the best form of a picture, "" if it has none.

    Args:
        image: attributes of the `img`.
        sources: attributes of the `source` elements before it in a `picture`.
        resolve: makes an address absolute, "" if it is none.
    """
    lazy = [image.get(name) for name in LAZY if _may_be_address(image.get(name))]
    sets = [element.get(name) for element in (*sources, image) for name in LAZY_SETS]
    offered = [element.get("srcset") for element in sources]
    if is_lazy(image):
        found = _largest((*sets, *offered), lazy, resolve)
        if found:
            return found
    return _largest((*sets, *offered, image.get("srcset")), [image.get("src")], resolve)


def is_lazy(image: Attributes) -> bool:
    """Whether a script is to put another picture in the place of the one that `src` names."""
    return any(_may_be_address(image[name]) for name in (*LAZY, *LAZY_SETS) if name in image)


def has_stand_in(image: Attributes) -> bool:
    """Whether what `src` names seems to wait for another picture whose address the element does not tell."""
    src = (image.get("src") or "").strip()
    return not is_lazy(image) and (not src or is_data(src) or "lazy" in (image.get("class") or "").lower())


def _may_be_address(value: str | None) -> bool:
    """Whether what a script reads is an address, and not its settings (`true`, `{"src": ...}`)."""
    chars = set(value or "")
    return not chars.isdisjoint("./") and chars.isdisjoint('{<"')


def _largest(sets: Sequence[str | None], others: Sequence[str | None], resolve: Callable[[str], str]) -> str:
    """The largest of all by what they say, of equals the first; `data:` only where there is no other."""
    offered = [one for value in sets if value for one in parsed_set(value)]
    offered += [(value, (0, 1.0)) for value in others if value]
    inline = ""
    for value, _ in sorted(offered, key=lambda one: one[1], reverse=True):
        address = resolve(value)
        if address and not is_data(address):
            return address
        inline = inline or address
    return inline


def parsed_set(value: str) -> Iterator[tuple[str, tuple[int, float]]]:
    """The addresses of a `srcset` as browsers read it, each with its width in pixels (0 if it is not told) and density."""
    at = 0
    while found := _ADDRESS.match(value, at):
        address, at = found[1], found.end()
        told = ""
        if address.endswith(","):
            address = address.rstrip(",")
        elif descriptor := _DESCRIPTOR.match(value, at):
            told, at = descriptor[1], descriptor.end()
        if address:
            yield address, _size(told)


def _size(told: str) -> tuple[int, float]:
    width, density = 0, 1.0
    for word in told.split():
        if _NUMBER.fullmatch(word[:-1]):
            if word.endswith("w"):
                width = int(float(word[:-1]))
            elif word.endswith("x"):
                density = float(word[:-1])
    return width, density
