"""CSLS: cross-domain similarity local scaling."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mella_retrieval.indexes.scoring.bank import Array, Bank
from mella_retrieval.indexes.scoring.rescoring import Rescoring, ScoringConfig
from mella_retrieval.indexes.scoring.similarities import Doubles, mean_of_nearest


class CSLSConfig(ScoringConfig):
    """Options.

    Attributes:
        neighbours: how many neighbours both means are taken over; 10 in the paper.
    """

    neighbours: int = Field(default=10, ge=1)


class CSLS:
    """`2 S(q, g) - r_G(q) - r_Q(g)`, r being the mean cosine to the 10 nearest on the other side.

    Source: Conneau et al., Word Translation Without Parallel Data (ICLR 2018), section 2.3; methods.md, section 7.
    For one query r_G(q) is a constant: the ranking is that of NNN with weight .5 and as many neighbours, which is what `fit`
    gives (`S + bias`, half of CSLS but for r_G). Where scores of different queries are compared (thresholds, merged lists), take
    `2 (S + bias) - query_term`. Needs a bank; inductive or transductive. Folds into the gallery.
    """

    name = "csls"
    folds = True
    config = CSLSConfig

    def fit(self, gallery: Array, bank: Bank, config: CSLSConfig) -> Rescoring:
        """The bias `-r_Q(g) / 2` of every item of the gallery (n, d).

        Raises:
            DataError: fewer queries than `neighbours`, or vectors that cannot be used.
        """
        bias = -0.5 * mean_of_nearest(gallery, bank, config.neighbours)
        return Rescoring(self.name, bias.astype(np.float32), bank.transductive)


def query_term(queries: Array, gallery: Array, config: CSLSConfig | None = None) -> Doubles:
    """`r_G(q)`: (q,) mean cosine of each query to its nearest items of the gallery.

    Raises:
        DataError: fewer items than `neighbours`, or vectors that cannot be used.
    """
    return mean_of_nearest(queries, Bank(gallery), (config or CSLSConfig()).neighbours)
