"""The registry of hubness corrections: adding one is one file here and one line in `SCORING`."""

from __future__ import annotations

from typing import Any, Protocol

from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.scoring.bank import Array, Bank
from mella_retrieval.indexes.scoring.csls import CSLS
from mella_retrieval.indexes.scoring.inverted_softmax import InvertedSoftmax
from mella_retrieval.indexes.scoring.nnn import NNN
from mella_retrieval.indexes.scoring.qb_norm import QBNorm
from mella_retrieval.indexes.scoring.rescoring import Rescoring, ScoringConfig
from mella_retrieval.recipes import build_config, suggest


class Scoring(Protocol):
    """One published correction. All need a bank of reference queries.

    Attributes:
        name: as in options and results.
        folds: whether its bias can be stored in the index for good.
        config: class of its options.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def folds(self) -> bool:
        """See above."""

    @property
    def config(self) -> type[ScoringConfig]:
        """See above."""

    def fit(self, gallery: Array, bank: Bank, config: Any) -> Rescoring:
        """The correction for one gallery."""


SCORING: dict[str, Scoring] = {
    "nnn": NNN(),
    "csls": CSLS(),
    "inverted-softmax": InvertedSoftmax(),
    "qb-norm": QBNorm(),
}


def fit_scoring(name: str, gallery: Array, bank: Bank, **options: Any) -> Rescoring:
    """Fit the correction of that name.

    Args:
        name: one of `SCORING`.
        gallery: (n, d) items in the shared space: pictures for text -> image, texts for image -> text.
        bank: reference queries of the other side.
        options: of the method's config; published defaults otherwise.

    Raises:
        ConfigError: no such method or option, or a value out of range.
        DataError: too few reference queries, or vectors that cannot be used.
    """
    if name not in SCORING:
        raise ConfigError(f"there is no scoring {name!r}.{suggest(name, SCORING)} Known: {', '.join(SCORING)}.")
    method = SCORING[name]
    return method.fit(gallery, bank, build_config(method.config, options, f"the options of {name}"))
