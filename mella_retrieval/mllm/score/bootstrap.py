"""Intervals and paired tests by drawing pictures anew: every arm, metric and language of a picture travels with it.

Percentile intervals and the shifted two-sided test of Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 13
and 16; Holm's correction (1979) over the languages of one metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mella_retrieval.recipes import Strict

Doubles = NDArray[np.float64]

_CHUNK = 128  # resamples held at a time; fixed, so that the same seed gives the same draws


class Bootstrap(Strict):
    """How it is drawn. Attributes: resamples: how often. level: of the intervals. seed: of the draws."""

    resamples: int = Field(default=2000, ge=100)
    level: float = Field(default=0.95, gt=0, lt=1)
    seed: int = 0


@dataclass(frozen=True)
class Interval:
    """A mean with its interval; the bounds are None where there are fewer than two pictures."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Difference:
    """A paired difference of means with its interval and two-sided p; Holm's p where it is one of several."""

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None


def resampled_means(scores: Doubles, settings: Bootstrap) -> Doubles:
    """The mean of each column in every resample of the rows.

    Args:
        scores: (pictures, columns); NaN where a picture has no score in a column.
        settings: resamples and seed.

    Returns:
        (resamples, columns); NaN where a resample drew no picture with a score.
    """
    pictures = len(scores)
    there = np.isfinite(scores)
    values = np.where(there, scores, 0.0)
    generator = np.random.default_rng(settings.seed)
    means = []
    for begin in range(0, settings.resamples, _CHUNK):
        count = min(_CHUNK, settings.resamples - begin)
        drawn = generator.multinomial(pictures, np.full(pictures, 1 / pictures), size=count).astype(np.float64)
        weights = drawn @ there.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append(np.where(weights > 0, drawn @ values / weights, np.nan))
    return np.concatenate(means)


def mean(scores: Doubles) -> float | None:
    """The mean of a column's scores; None where it has none."""
    there = scores[np.isfinite(scores)]
    return float(there.mean()) if there.size else None


def interval(value: float, draws: Doubles, settings: Bootstrap) -> Interval:
    """The percentile interval of the draws (resamples,) of a value."""
    low, high = _bounds(draws, settings)
    return Interval(value, low, high)


def difference(value: float, draws: Doubles, settings: Bootstrap) -> Difference:
    """Interval and p of a paired difference from its draws.

    p is the share of draws that lie at least as far from the observed difference as that lies from zero, the observation counted
    among them, so it is never 0; two arms that are alike have p = 1.
    """
    low, high = _bounds(draws, settings)
    draws = draws[np.isfinite(draws)]
    if low is None:
        return Difference(value)
    slack = 1e-9  # sums in another order are not further away
    p = (1 + int((np.abs(draws - value) >= abs(value) - slack).sum())) / (1 + draws.size)
    return Difference(value, low, high, float(min(p, 1.0)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given: they hold for the whole family at once."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return [float(value) for value in adjusted]


def _bounds(draws: Doubles, settings: Bootstrap) -> tuple[float | None, float | None]:
    draws = draws[np.isfinite(draws)]
    if draws.size < 2:
        return None, None
    low, high = np.quantile(draws, [(1 - settings.level) / 2, (1 + settings.level) / 2])
    return float(low), float(high)
