"""The method contract: adding a method is one file in `methods/`, one recipe and one line in its registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field

from mella_retrieval.adapters.heads import Head
from mella_retrieval.adapters.hubness_config import HubnessConfig
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.leccr.slot_file import StoredSlots
from mella_retrieval.adapters.run import Run
from mella_retrieval.artifacts import Json
from mella_retrieval.recipes import Strict


class MethodConfig(Strict):
    """Options of a method; each method has its own class, and these belong to every one.

    Attributes:
        hubness: correct both sides for hubs after fitting; the correction is folded into the heads.
    """

    hubness: HubnessConfig | None = None


class PseudoPairConfig(MethodConfig):
    """Options of a method that takes stored pseudo-pairs.

    Attributes:
        pseudo_pair_top: make them from so many nearest bank vectors, an approximation whose error is measured; None: exactly.
    """

    pseudo_pair_top: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class Fitted:
    """What a method hands back.

    Attributes:
        text_head: multilingual text vectors -> shared space.
        image_head: image vectors -> shared space; an empty head leaves an existing image index valid.
        selection: what was measured on held-out data and which candidate was kept.
        slots: the module that enriches image vectors before the image head sees them, for methods that have one.
    """

    text_head: Head
    image_head: Head
    selection: Json
    slots: StoredSlots | None = None


class Method(Protocol):
    """One published way to fit an adapter.

    Attributes:
        name: as in recipes and on the command line.
        needs: alternative sets of inputs, the best first; any one of them suffices.
        config: class of its options.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def needs(self) -> tuple[frozenset[str], ...]:
        """See above."""

    @property
    def config(self) -> type[MethodConfig]:
        """See above."""

    def fit(self, inputs: Inputs, config: Any, run: Run) -> Fitted:
        """Fit both heads."""


def met_needs(needs: tuple[frozenset[str], ...], have: frozenset[str]) -> frozenset[str] | None:
    """The first alternative that is at hand, or None."""
    return next((alternative for alternative in needs if alternative <= have), None)


def explain_needs(method: Method, have: frozenset[str]) -> str:
    """Why a method cannot be fitted with what is at hand."""
    alternatives = " or ".join("{" + ", ".join(sorted(alternative)) + "}" for alternative in method.needs)
    return f"{method.name} needs {alternatives}; at hand: {', '.join(sorted(have)) or 'nothing'}."
