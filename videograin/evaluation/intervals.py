"""How sure figures are: intervals of means by bootstrap, and of shares of votes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
"""Bootstrap samples; the ends of a 95 % interval then vary by about 1 % of its length."""

NORMAL_95 = 1.959964
"""The 97.5th percentile of the normal distribution."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""Takes indices (..., n) int of clips and returns a figure (...) of those."""


@dataclass(frozen=True)
class Interval:
    """A figure and where it lies with 95 % confidence; nan where nothing was measured."""

    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Return the mean of values and its interval by the percentile bootstrap (Efron, 1979).

    Args:
        values: one of each clip; nan ones are left out.
        seed: of the resampling.
    """
    known = np.array([value for value in values if not math.isnan(value)])
    if not known.size:
        return Interval(math.nan, math.nan, math.nan)
    return bootstrap(lambda drawn: known[drawn].mean(-1), known.size, seed)


def bootstrap(statistic: Statistic, count: int, seed: int = 0) -> Interval:
    """Return a statistic of some clips and its interval by the percentile bootstrap (Efron, 1979).

    Args:
        statistic: of as many clips.
        count: of the clips, at least 1.
        seed: of the resampling.
    """
    drawn = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    low, high = np.percentile(statistic(drawn), [2.5, 97.5])
    return Interval(float(statistic(np.arange(count))), float(low), float(high))


def share_interval(wins: float, count: int) -> Interval:
    """Return the share of wins and its Wilson score interval (Wilson, 1927).

    Args:
        wins: of `count` votes; a tie is half a win.
        count: votes.
    """
    if not count:
        return Interval(math.nan, math.nan, math.nan)
    share, squared = wins / count, NORMAL_95**2
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    reach = NORMAL_95 / (1 + squared / count) * math.sqrt(share * (1 - share) / count + squared / (4 * count**2))
    return Interval(share, max(0.0, middle - reach), min(1.0, middle + reach))
