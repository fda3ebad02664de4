"""What the text of a FAISS factory string says about the parts of an index, without making one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mella_retrieval.errors import ConfigError

_TRANSFORM = re.compile(r"(OPQ|PCAR?W?R?|RR)(\d+)(?:_(\d+))?$|ITQ(\d*)$")
_CODE = re.compile(r"Flat$|SQ(?:4|6|8|fp16)$|PQ\d+(?:x\d+)?(?:fs|fsr)?(?:_\d+)?(?:np)?$|RaBitQ\d?$")


@dataclass(frozen=True)
class Parts:
    """A factory string in parts.

    Attributes:
        transform: `OPQ64`, `PCA128`, `RR512` ... or empty.
        dim: of the vectors after it.
        lists: inverted lists, 0 for none.
        list_links: M of the graph over the centroids, 0 for none.
        links: M of the graph over the vectors, 0 for none.
        code: how a vector is stored: `Flat`, `SQ8`, `SQfp16`, `PQ64x4fs`, `RaBitQ` ...
    """

    transform: str
    dim: int
    lists: int
    list_links: int
    links: int
    code: str

    @property
    def kind(self) -> Literal["flat", "ivf", "hnsw"]:
        """How items are reached: all of them, those of some lists, or along a graph."""
        return "ivf" if self.lists else "hnsw" if self.links else "flat"

    @property
    def exact(self) -> bool:
        """Whether the vectors are held as they are."""
        return self.code == "Flat" and not self.transform

    @property
    def sub_vectors(self) -> tuple[int, int]:
        """Of a product quantiser: how many sub-vectors and bits each; (0, 0) for other codes."""
        found = re.match(r"PQ(\d+)(?:x(\d+))?", self.code)
        return (int(found[1]), int(found[2] or 8)) if found else (0, 0)

    @property
    def plain_code(self) -> str:
        """The code as it is named outside lists, where there are no residuals and no polysemous search."""
        return self.code.replace("fsr", "fs").removesuffix("np") + ("np" if self.sub_vectors[0] and not self.fast_scan else "")

    @property
    def fast_scan(self) -> bool:
        """Whether codes lie in blocks of 32 items, to be compared at once."""
        return "fs" in self.code


def parse_factory(factory: str, dim: int) -> Parts:
    """Read a factory string.

    Args:
        factory: of a kind that costs can be estimated for: `[OPQ..|PCA..|RR..,][IVF..[_HNSW..],|HNSW..,]Flat|SQ..|PQ..|RaBitQ..`.
        dim: of the vectors.

    Raises:
        ConfigError: another kind.
    """
    pieces = re.sub(r"^HNSW(\d*)_", r"HNSW\1,", factory).split(",")
    transform, lists, list_links, links = "", 0, 0, 0
    if found := _TRANSFORM.match(pieces[0]):
        transform = pieces.pop(0)
        dim = int(found[3] or (found[4] or dim if found[1] in (None, "OPQ") else found[2]))
    if pieces and (found := re.fullmatch(r"IVF(\d+)(?:_HNSW(\d*))?", pieces[0])):
        pieces.pop(0)
        lists, list_links = int(found[1]), int(found[2] or 32) if found[2] is not None else 0
    elif pieces and (found := re.fullmatch(r"HNSW(\d*)", pieces[0])):
        pieces.pop(0)
        links = int(found[1] or 32)
    code = pieces[0] if pieces else "Flat"
    if len(pieces) > 1 or not _CODE.match(code):
        raise ConfigError(f"the cost of {factory!r} cannot be estimated: only those of Flat, SQ, PQ and RaBitQ, IVF and HNSW.")
    return Parts(transform, dim, lists, list_links, links, code)
