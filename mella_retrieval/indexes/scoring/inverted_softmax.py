"""Inverted softmax: normalise over the queries instead of over the items."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from mella_retrieval.indexes.scoring.bank import Array, Bank
from mella_retrieval.indexes.scoring.rescoring import Rescoring, ScoringConfig
from mella_retrieval.indexes.scoring.similarities import log_sum_exp


class InvertedSoftmaxConfig(ScoringConfig):
    """Options.

    Attributes:
        sharpness: b, the inverse temperature; 20 as in QB-Norm.
    """

    sharpness: float = Field(default=20.0, gt=0, le=1000)


class InvertedSoftmax:
    """`exp(b S(q, g)) / sum over the bank of exp(b <g, query>)`, as a bias: `S - (1/b) log sum exp(b <g, query>)`.

    The logarithm keeps the order and makes it a bias. Source: Smith et al., Offline bilingual word vectors, orthogonal
    transformations and the inverted softmax (ICLR 2017); methods.md, section 7. Needs a bank; inductive or transductive (with the
    test queries as bank: the normaliser of dual softmax). Folds into the gallery.
    """

    name = "inverted-softmax"
    folds = True
    config = InvertedSoftmaxConfig

    def fit(self, gallery: Array, bank: Bank, config: InvertedSoftmaxConfig) -> Rescoring:
        """The bias of every item of the gallery (n, d).

        Raises:
            DataError: an empty bank, or vectors that cannot be used.
        """
        bias = -log_sum_exp(gallery, bank, config.sharpness) / config.sharpness
        return Rescoring(self.name, bias.astype(np.float32), bank.transductive)
