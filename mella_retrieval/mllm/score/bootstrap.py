"""Intervals and paired tests by drawing pictures anew: every arm, metric and language of a picture travels with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from mella_retrieval.recipes import Strict
from mella_retrieval.resampling import Doubles, percentile_interval, shifted_p

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
    return Interval(value, *(percentile_interval(draws, settings.level) or (None, None)))


def difference(value: float, draws: Doubles, settings: Bootstrap) -> Difference:
    """Interval and p of a paired difference from its draws, see `resampling.shifted_p`."""
    found = percentile_interval(draws, settings.level)
    return Difference(value, *found, shifted_p(value, draws, 1e-9)) if found else Difference(value)
