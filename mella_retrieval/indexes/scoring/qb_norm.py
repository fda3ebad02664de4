"""QB-Norm: the inverted softmax, only for queries whose first hit is a hub."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mella_retrieval.indexes.scoring.bank import Array, Bank
from mella_retrieval.indexes.scoring.rescoring import Rescoring, ScoringConfig
from mella_retrieval.indexes.scoring.similarities import first_hits, log_sum_exp


class QBNormConfig(ScoringConfig):
    """Options.

    Attributes:
        sharpness: b, the inverse temperature; 20 in the paper.
    """

    sharpness: float = Field(default=20.0, gt=0, le=1000)


class QBNorm:
    """Querybank normalisation with the dynamic inverted softmax.

    Items that are the first hit of some query of the bank are hubs. A query whose first hit is a hub is scored by the inverted
    softmax, any other by the plain cosine. Source: Bogolin et al., Cross Modal Retrieval with Querybank Normalisation (CVPR
    2022); methods.md, section 7. Needs a bank; inductive or transductive. The gate does not fold: it looks at each query's plain
    scores first (`Rescoring.rescore` on blocks of scores, or a plain search and then `fold_queries` with the weights that
    `Rescoring.weights` gives). Scores of corrected and other queries are on two scales; only the order within a query counts.
    """

    name = "qb-norm"
    folds = False
    config = QBNormConfig

    def fit(self, gallery: Array, bank: Bank, config: QBNormConfig) -> Rescoring:
        """Bias and gate for the gallery (n, d).

        Raises:
            DataError: an empty bank, or vectors that cannot be used.
        """
        bias = -log_sum_exp(gallery, bank, config.sharpness) / config.sharpness
        return Rescoring(self.name, bias.astype(np.float32), bank.transductive, first_hits(gallery, bank))
