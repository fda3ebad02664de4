"""NNN: take from each item its mean similarity to the nearest reference queries."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mella_retrieval.indexes.scoring.bank import Array, Bank
from mella_retrieval.indexes.scoring.rescoring import Rescoring, ScoringConfig
from mella_retrieval.indexes.scoring.similarities import mean_of_nearest


class NNNConfig(ScoringConfig):
    """Options.

    Attributes:
        weight: a in `S - a * mean`; published values are .5 to .75.
        neighbours: how many reference queries the mean is taken over; published values are 128 to 256.
    """

    weight: float = Field(default=0.75, gt=0, le=4)
    neighbours: int = Field(default=128, ge=1)


class NNN:
    """`S(q, g) - a * mean of the k largest <g, b>` over the bank's queries b.

    Source: Chowdhury et al., Nearest Neighbor Normalization Improves Multimodal Retrieval (EMNLP 2024); methods.md, section 7.
    Needs a bank; inductive, or transductive where the bank is the test. Folds into the gallery.
    """

    name = "nnn"
    folds = True
    config = NNNConfig

    def fit(self, gallery: Array, bank: Bank, config: NNNConfig) -> Rescoring:
        """The bias of every item of the gallery (n, d).

        Raises:
            DataError: fewer queries than `neighbours`, or vectors that cannot be used.
        """
        bias = -config.weight * mean_of_nearest(gallery, bank, config.neighbours)
        return Rescoring(self.name, bias.astype(np.float32), bank.transductive)
